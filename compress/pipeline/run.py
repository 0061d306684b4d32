"""A run: the float weights in, `model.sqz` and its report out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import torch

from compress import container, validate
from compress.data.photos import Photos, Role
from compress.device import find_device
from compress.errors import ConfigError, PassError, SqueezeError
from compress.files import write_atomically
from compress.model import Model
from compress.networks.initial import Random
from compress.networks.own import Own
from compress.passes import Context, Distill, Simplify, Train
from compress.pipeline import beforehand, promises, records
from compress.pipeline.kept import KeptStage
from compress.pipeline.measure import Cost, Meter
from compress.pipeline.spec import Pipeline, Stage
from compress.progress import Progress, silent
from compress.proof import prove
from compress.report import write_report
from compress.report.record import SCHEMA_VERSION, Record, StageRecord
from compress.validate import Outputs

MODEL_FILE = "model.sqz"
CACHE = "cache"
Loaded = TypeVar("Loaded")


@dataclass(frozen=True)
class Result:
    """What a run leaves.

    Attributes:
        record: all that is known of it.
        model_path: the `.sqz` file.
        report_path: `report.html`; `report.json` lies beside it.
    """

    record: Record
    model_path: Path
    report_path: Path

    @property
    def goal_met(self) -> bool:
        """Whether every line of the goal was met."""
        return all(goal.met for goal in self.record.goals)


def run(
    pipeline: Pipeline,
    out: Path,
    *,
    cache: Path | None = None,
    fresh: bool = False,
    command: str = "",
    device: str | None = None,
    progress: Progress = silent,
) -> Result:
    """Run a pipeline.

    Args:
        pipeline: what to do.
        out: folder for `model.sqz`, `report.json` and `report.html`; the files of an earlier run in it are replaced
            one by one, each only when its successor is complete.
        cache: folder for decoded photos, statistics, what stages left, and what an interrupted one goes on from; runs
            may share it, at once too; `out`/cache if None.
        fresh: do everything anew, whatever the cache has; it is neither read nor written.
        command: the command line that repeats this run, for the report.
        device: where networks run; a GPU if there is one, unless told otherwise.
        progress: shows how far the run is.
    Raises:
        SqueezeError: it failed; says where and why. A missed goal is no failure: see `Result.goal_met`.
    """
    if fresh:
        with TemporaryDirectory(prefix="squeeze-compress-") as empty:
            return run(pipeline, out, cache=Path(empty), command=command, device=device, progress=progress)
    place, cache = find_device(device), cache or out / CACHE
    torch.use_deterministic_algorithms(True, warn_only=True)
    source = pipeline.model
    reference = _located(
        pipeline, partial(source.load, pipeline.seed) if isinstance(source, Random | Own) else source.load
    )
    if pipeline.encode.labels == "none":
        reference = replace(reference, labels=())
    beforehand.check_layers(pipeline, reference)
    calibration = _photos(pipeline, "calibration", reference, cache, progress)
    photos = _photos(pipeline, "validation", reference, cache, progress)
    beforehand.check_labels(pipeline.goal, photos)
    beforehand.check_apart(calibration, photos)
    beforehand.check_training(pipeline, calibration, reference.classes)
    context = Context(
        reference,
        calibration,
        pipeline.seed,
        device=place,
        progress=progress,
        codecs=pipeline.encode.codecs,
        store=cache,
        out=out,
    )
    judge = _Judge(reference, photos, context)
    model, trained_by, is_float = reference, list[str](), records.is_float(reference)
    for stage in pipeline.stages:
        changed, cost = _kept_or_applied(stage, model, context, cache)
        is_float &= records.is_float(changed) or _loses_nothing(stage)
        if trains_the_float_network := is_float and isinstance(stage.step, Train):
            reference = changed
            trained_by.append(stage.name)
        model = changed
        # The same network, written otherwise, or a better one: the next stages recover towards it.
        if isinstance(stage.step, Simplify) or trains_the_float_network:
            context = replace(context, reference=model, cache={})
        judge.stage(stage, model, cost, is_float=is_float, is_reference=trains_the_float_network)
    path = out / MODEL_FILE
    data = container.encode(model, pipeline.encode.codecs)
    write_atomically(path, data)
    proof_seconds, proven = judge.proof(path, model)
    stages = (*judge.stages, proven)
    layout = container.layout(data)
    record = Record(
        schema_version=SCHEMA_VERSION,
        pipeline=records.as_text(pipeline.name),
        description=pipeline.description,
        network=reference.architecture,
        weights_source=", ".join([source.description, *(f"trained by the stage {name}" for name in trained_by)]),
        weights_sha256=container.weights_sha256(reference),
        parameters=_parameters(reference),
        float_bytes=_parameters(reference) * 4,
        seed=pipeline.seed,
        goals=records.goal_records(pipeline.goal, len(data), stages[0].accuracy, proven.accuracy, proven.fidelity),
        data=(records.data_record("calibration", calibration), records.data_record("validation", photos)),
        stages=stages,
        layers=records.layer_records(model, reference, layout),
        file=records.file_record(MODEL_FILE, data, model, layout),
        proof_seconds=proof_seconds,
        command=command,
        configuration=pipeline.configuration,
        versions=records.versions(),
        machine=records.machine(),
    )
    return Result(record, path, write_report(record, out))


def _kept_or_applied(stage: Stage, model: Model, context: Context, cache: Path) -> tuple[Model, Cost]:
    """Return what a stage leaves, and what it took: from the cache, if it is there, or by running its pass."""
    kept = KeptStage(cache, stage, model, context)
    if found := kept.read():
        with context.progress(f"{stage.name}: kept from an earlier run", 0):
            return found
    with Meter() as work:
        changed = _apply(stage, model, context)
        moves_zeros = isinstance(stage.step, Distill) and stage.step.moves_zeros
        promises.check(model, changed, stage.name, zeros=not moves_zeros)
    kept.write(changed, work.cost)
    return changed, work.cost


def _loses_nothing(stage: Stage) -> bool:
    """Whether a float network is still one after a stage, though some of its weights may be pruned: dead ones."""
    return isinstance(stage.step, Simplify) or (isinstance(stage.step, Train) and stage.step.prune is None)


def _apply(stage: Stage, model: Model, context: Context) -> Model:
    """Run a stage's pass; an error of the pass tells the stage's name."""
    try:
        return stage.step(model, replace(context, stage=stage.name))
    except PassError as error:
        raise PassError(error.problem, stage=stage.name, tensor=error.tensor) from error
    except ConfigError as error:
        raise ConfigError(str(error), key=f"stages.{stage.name}") from error


def _parameters(model: Model) -> int:
    return sum(tensor.to_dense().size for tensor in model.tensors.values())


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


class _Judge:
    """Validates every stage on the same photos against the same float network.

    Attributes:
        stages: the float network's own record, the baseline, and one of each stage.
    """

    def __init__(self, reference: Model, photos: Photos, context: Context) -> None:
        self.reference, self.photos, self.context = reference, photos, context
        with Meter() as work:
            self.expected = self._outputs(reference)
        self.cost = work.cost
        self.stages = [self._baseline()]
        self._until_float: list[Outputs] = []

    def _baseline(self) -> StageRecord:
        file_bytes = self.context.file_bytes(self.reference)
        return self._record("baseline", "baseline", {}, self.reference, file_bytes, self.expected, (Cost(), self.cost))

    def stage(self, stage: Stage, model: Model, cost: Cost, *, is_float: bool, is_reference: bool) -> None:
        """Validate what a stage left, and record it.

        Args:
            stage: what was done.
            model: what it left.
            cost: its time and memory.
            is_float: nothing is compressed yet.
            is_reference: it is the float network from now on: all stages are measured against it, those before too.
        """
        with Meter() as validation:
            outputs = self._outputs(model)
        if is_reference:
            self.reference, self.expected = model, outputs
            before = zip(self.stages[1:], self._until_float, strict=True)
            again = [replace(record, fidelity=validate.fidelity(found, outputs)) for record, found in before]
            self.stages = [self._baseline(), *again]
        if is_float:
            self._until_float.append(outputs)
        file_bytes = self.context.file_bytes(model)
        options = records.options_of(stage.step)
        costs = cost, validation.cost
        self.stages.append(self._record(stage.name, stage.step.kind, options, model, file_bytes, outputs, costs))

    def proof(self, path: Path, model: Model) -> tuple[float, StageRecord]:
        """Read the file back in a fresh process; its weights must be the model's, bit for bit."""
        with Meter() as work:
            proof = prove(path, self.photos, str(self.context.device), trusted=model.trusted)
        if proof.weights_sha256 != container.weights_sha256(model):
            raise SqueezeError(f"{path}: the weights read back are not those that were written")
        outputs = Outputs(proof.logits, self.photos.labels)
        file_bytes = path.stat().st_size
        return proof.seconds, self._record("proof", "proof", {}, model, file_bytes, outputs, (work.cost, Cost()))

    def _outputs(self, model: Model) -> Outputs:
        network = self.context.network(model)
        return validate.run(network, self.photos, model.preprocessing, self.context.progress)

    def _record(
        self,
        name: str,
        kind: str,
        options: dict[str, object],
        model: Model,
        file_bytes: int,
        outputs: Outputs,
        costs: tuple[Cost, Cost],
    ) -> StageRecord:
        return StageRecord(
            name=name,
            kind=kind,
            options=options,
            file_bytes=file_bytes,
            sparsity=records.sparsity_of(model),
            bits_per_weight=file_bytes * 8 / records.weights_of(model),
            distinct_values=sum(records.distinct_values(model.tensors[layer]) for layer in model.weight_names()),
            seconds=costs[0].seconds,
            validation_seconds=costs[1].seconds,
            peak_memory_bytes=max(cost.peak_bytes for cost in costs),
            accuracy=validate.accuracy(outputs),
            fidelity=validate.fidelity(outputs, self.expected),
        )
