"""The inputs of a run: float weights and photos, loaded once and checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch

from compress import container
from compress.data.photos import Photos, Role
from compress.errors import ConfigError, DataError
from compress.model import Model
from compress.passes import Context
from compress.pipeline import preflight
from compress.pipeline.config import Pipeline
from compress.runtime.devices import find_device
from compress.runtime.distributed import SINGLE_PROCESS, ProcessGroup
from compress.runtime.progress import Progress, no_progress

Loaded = TypeVar("Loaded")


@dataclass(frozen=True, eq=False)
class RunInputs:
    """The inputs of all stages.

    Attributes:
        context: of the first stage.
        validation: photos that measure each stage.
        cache: folder that runs share.
    """

    context: Context
    validation: Photos
    cache: Path

    @property
    def reference(self) -> Model:
        """The float network before the first stage."""
        return self.context.reference


def load_inputs(
    pipeline: Pipeline,
    cache: Path,
    device: str | None = None,
    progress: Progress = no_progress,
    out: Path | None = None,
    processes: ProcessGroup = SINGLE_PROCESS,
) -> RunInputs:
    """Load the inputs of a pipeline, and run all preflight checks.

    Args:
        pipeline: names the weights and the photos.
        cache: folder that runs share.
        device: where networks run; None: a GPU if there is one.
        progress: reports the progress.
        out: folder for the partial result of a failed stage; None: it is lost.
        processes: the process group of the run.
    Raises:
        SqueezeError: weights or photos are not available, or do not suit the stages and the goal.
    """
    found_device = find_device(device)
    torch.use_deterministic_algorithms(True, warn_only=True)
    reference = _load_reference(pipeline)
    if processes.is_first:
        preflight.report_compressible(reference)
    preflight.check_layers(pipeline, reference)
    with processes.first_before_others():
        calibration = _load_photos(pipeline, "calibration", reference, cache, progress)
        validation = _load_photos(pipeline, "validation", reference, cache, progress)
    _check_equal(processes, reference, calibration, validation)
    preflight.check_labels(pipeline.goal, validation)
    preflight.check_disjoint(calibration, validation)
    preflight.check_training(pipeline, calibration, reference.classes)
    context = Context(
        reference,
        calibration,
        pipeline.seed,
        device=found_device,
        progress=progress,
        codecs=pipeline.encode.codecs,
        store=cache,
        out=out if processes.is_first else None,
        processes=processes,
    )
    return RunInputs(context, validation, cache)


def _load_reference(pipeline: Pipeline) -> Model:
    reference = _located(pipeline, partial(pipeline.model.load, pipeline.seed))
    return replace(reference, labels=()) if pipeline.encode.labels == "none" else reference


def _load_photos(pipeline: Pipeline, role: Role, model: Model, cache: Path, progress: Progress) -> Photos:
    source = pipeline.calibration if role == "calibration" else pipeline.validation
    read = partial(source.load, model.preprocessing, role, classes=model.classes, cache=cache, progress=progress)
    return _located(pipeline, read)


def _located(pipeline: Pipeline, load_it: Callable[[], Loaded]) -> Loaded:
    """Call a loader; add file and line to its `ConfigError`."""
    try:
        return load_it()
    except ConfigError as error:
        raise pipeline.document.located(error) from error


def _check_equal(processes: ProcessGroup, reference: Model, *photos: Photos) -> None:
    """Check that all processes loaded the same inputs.

    Raises:
        DataError: this process has other weights or photos than the first.
    """
    own = (container.weights_sha256(reference), *(each.fingerprint for each in photos))
    if own != processes.broadcast(own):
        raise DataError(
            f"process {processes.rank} of {processes.world_size} has other weights or photos than the first; all "
            "machines need the same files under the same paths, and the same package versions"
        )
