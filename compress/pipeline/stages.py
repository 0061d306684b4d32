"""The stages of a pipeline, one after the other, on float weights and photos that are loaded once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch

from compress import container
from compress.calibration.layer_statistics import LayerStatistics
from compress.data.photos import Photos, Role
from compress.errors import ConfigError, DataError, PassError
from compress.model import Model
from compress.networks.weight_sources import load
from compress.passes import Context, Distill, Simplify, Train
from compress.pipeline import invariants, preflight, run_record
from compress.pipeline.config import Pipeline, Stage
from compress.pipeline.resource_meter import Cost, Meter
from compress.pipeline.stage_cache import KeptStage
from compress.runtime.devices import find_device
from compress.runtime.distributed import ALONE, Ranks
from compress.runtime.progress import Progress, silent

Loaded = TypeVar("Loaded")


@dataclass(frozen=True, eq=False)
class Prepared:
    """What the stages of a pipeline work on.

    Attributes:
        context: what the first stage is given beside the model.
        validation: photos that judge.
    """

    context: Context
    validation: Photos
    _trained: dict[str, dict[tuple[object, ...], Mapping[str, LayerStatistics]]] = field(
        default_factory=dict, repr=False
    )

    @property
    def reference(self) -> Model:
        """The float network, before any stage."""
        return self.context.reference

    def statistics_of(self, reference: Model) -> dict[tuple[object, ...], Mapping[str, LayerStatistics]]:
        """Return where the statistics of a network that a stage made are kept: those of the last one alone."""
        digest = container.weights_sha256(reference)
        if digest not in self._trained:
            self._trained.clear()
            self._trained[digest] = {}
        return self._trained[digest]


@dataclass(frozen=True, eq=False)
class Left:
    """What a stage left.

    Attributes:
        stage: what was done.
        model: what it left.
        cost: its time and memory.
        context: what the next stage is given beside the model.
        is_float: nothing is compressed yet.
        is_reference: it is the float network from now on.
    """

    stage: Stage
    model: Model
    cost: Cost
    context: Context
    is_float: bool
    is_reference: bool


def prepare(
    pipeline: Pipeline,
    cache: Path,
    device: str | None = None,
    progress: Progress = silent,
    out: Path | None = None,
    ranks: Ranks = ALONE,
) -> Prepared:
    """Load what the stages of a pipeline work on, and check all of it that can be checked beforehand.

    Args:
        pipeline: what is to be done.
        cache: folder for what runs share.
        device: where networks run; a GPU if there is one, unless told otherwise.
        progress: shows how far it is.
        out: folder for what a stage that fails can still save; None for none.
        ranks: this process among those that do the run together.
    Raises:
        SqueezeError: weights or photos cannot be had, or are no good for these stages and this goal.
    """
    place = find_device(device)
    torch.use_deterministic_algorithms(True, warn_only=True)
    reference = _located(pipeline, partial(load, pipeline.model, pipeline.seed))
    if pipeline.encode.labels == "none":
        reference = replace(reference, labels=())
    preflight.check_layers(pipeline, reference)
    preflight.check_teachers(pipeline, reference)
    with ranks.first_before_others():
        calibration = _photos(pipeline, "calibration", reference, cache, progress)
        photos = _photos(pipeline, "validation", reference, cache, progress)
    _check_alike(ranks, reference, calibration, photos)
    preflight.check_labels(pipeline.goal, photos)
    preflight.check_apart(calibration, photos)
    preflight.check_training(pipeline, calibration, reference.classes)
    context = Context(
        reference,
        calibration,
        pipeline.seed,
        device=place,
        progress=progress,
        codecs=pipeline.encode.codecs,
        store=cache,
        out=out if ranks.first else None,
        ranks=ranks,
    )
    return Prepared(context, photos)


def _check_alike(ranks: Ranks, reference: Model, *photos: Photos) -> None:
    """Check that all processes of a run begin with the same.

    Raises:
        DataError: this one has other weights or photos than the first.
    """
    own = (container.weights_sha256(reference), *(each.fingerprint for each in photos))
    if own != ranks.from_first(own):
        raise DataError(
            f"process {ranks.number} of {ranks.count} has other weights or photos than the first; give all machines "
            "the same files under the same paths, and the same versions of what is installed"
        )


def stages_of(pipeline: Pipeline, prepared: Prepared, cache: Path) -> Iterator[Left]:
    """Run the stages of a pipeline one after the other, or find in the cache what they left.

    Args:
        pipeline: whose stages they are.
        prepared: from this pipeline, or from one that differs in nothing but its stages and coding.
        cache: folder for what runs share.
    Yields:
        what each stage left; the next one runs when it is asked for.
    Raises:
        SqueezeError: a stage failed; names it.
    """
    context = replace(prepared.context, codecs=pipeline.encode.codecs)
    model = prepared.reference
    is_float = run_record.is_float(model)
    for stage in pipeline.stages:
        changed, cost = _kept_or_applied(stage, model, context, cache)
        is_float &= run_record.is_float(changed) or _loses_nothing(stage)
        is_reference = is_float and isinstance(stage.step, Train)
        model = changed
        # The same network, written otherwise, or a better one: the next stages recover towards it.
        if isinstance(stage.step, Simplify) or is_reference:
            context = replace(context, reference=model, cache=prepared.statistics_of(model))
        elif changed.origin and changed.origin is not context.reference:
            context = replace(context, reference=changed.origin, cache={})
        yield Left(stage, model, cost, context, is_float, is_reference)


def _loses_nothing(stage: Stage) -> bool:
    """Whether a float network is still one after a stage, though some of its weights may be pruned: dead ones."""
    return isinstance(stage.step, Simplify) or (isinstance(stage.step, Train) and stage.step.prune is None)


def _kept_or_applied(stage: Stage, model: Model, context: Context, cache: Path) -> tuple[Model, Cost]:
    """Return what a stage leaves, and what it took: from the cache, if it is there, or by running its pass."""
    kept, ranks = KeptStage(cache, stage, model, context), context.ranks
    if found := ranks.from_first(kept.read() if ranks.first else None):
        with context.progress(f"{stage.name}: kept from an earlier run", 0):
            return found
    with Meter() as work:
        changed = _apply(stage, model, context)
        moves_zeros = isinstance(stage.step, Distill) and stage.step.moves_zeros
        invariants.check(model, changed, stage.name, zeros=not moves_zeros)
    # Floats that one machine rounds otherwise than another must not drive the processes apart.
    changed = ranks.from_first(changed)
    if ranks.first:
        kept.write(changed, work.cost)
    return changed, work.cost


def _apply(stage: Stage, model: Model, context: Context) -> Model:
    """Run a stage's pass; an error of the pass tells the stage's name."""
    try:
        return stage.step(model, replace(context, stage=stage.name))
    except PassError as error:
        raise PassError(error.problem, stage=stage.name, tensor=error.tensor) from error
    except ConfigError as error:
        raise ConfigError(str(error), key=f"stages.{stage.name}") from error


def _photos(pipeline: Pipeline, role: Role, model: Model, cache: Path, progress: Progress) -> Photos:
    source = pipeline.calibration if role == "calibration" else pipeline.validation
    with progress(f"reading {role} photos", 0) as advance:
        return _located(
            pipeline,
            lambda: source.load(
                model.preprocessing,
                role,
                classes=model.classes,
                store=cache,
                progress=lambda done, total: advance(1),
            ),
        )


def _located(pipeline: Pipeline, load: Callable[[], Loaded]) -> Loaded:
    """Load what the pipeline names; an error that knows the key alone learns file and line."""
    try:
        return load()
    except ConfigError as error:
        raise pipeline.document.located(error) from error
