"""A run: the float weights in, `model.sqz` and its report out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from compress import container
from compress.data.photos import Photos
from compress.errors import SqueezeError
from compress.evaluation import metrics
from compress.evaluation.goals import goal_records
from compress.evaluation.metrics import Outputs
from compress.evaluation.round_trip import prove
from compress.evaluation.text import as_text
from compress.model import Model
from compress.passes import Context
from compress.pipeline import run_record
from compress.pipeline.config import Pipeline
from compress.pipeline.resource_meter import Cost, Meter
from compress.pipeline.stages import Left, prepare, stages_of
from compress.report import write_report
from compress.report.record import SCHEMA_VERSION, Record, StageRecord
from compress.runtime.atomic_files import write_atomically
from compress.runtime.distributed import ALONE, Ranks
from compress.runtime.progress import Progress, silent

MODEL_FILE = "model.sqz"
CACHE = "cache"


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
    ranks: Ranks = ALONE,
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
        ranks: this process among those that do the run together; the first writes, and all return the same.
    Raises:
        SqueezeError: it failed; says where and why. A missed goal is no failure: see `Result.goal_met`.
    """
    if fresh:
        with TemporaryDirectory(prefix="squeeze-compress-") as empty:
            return run(pipeline, out, cache=Path(empty), command=command, device=device, progress=progress, ranks=ranks)
    cache = cache or out / CACHE
    prepared = prepare(pipeline, cache, device, progress, out, ranks)
    reference, photos = prepared.reference, prepared.validation
    judge = _Judge(reference, photos, prepared.context)
    model, trained_by = reference, list[str]()
    for left in stages_of(pipeline, prepared, cache):
        model = left.model
        if left.is_reference:
            reference = model
            trained_by.append(left.stage.name)
        judge.stage(left)
    if not ranks.first:
        return ranks.awaited(Result)
    path = out / MODEL_FILE
    data = container.encode(model, pipeline.encode.codecs)
    write_atomically(path, data)
    proof_seconds, proven = judge.proof(path, model)
    stages = (*judge.stages, proven)
    layout = container.layout(data)
    record = Record(
        schema_version=SCHEMA_VERSION,
        pipeline=as_text(pipeline.name),
        description=pipeline.description,
        network=reference.architecture,
        weights_source=", ".join(
            [pipeline.model.description, *(f"trained by the stage {name}" for name in trained_by)]
        ),
        weights_sha256=container.weights_sha256(reference),
        parameters=_parameters(reference),
        float_bytes=_parameters(reference) * 4,
        seed=pipeline.seed,
        goals=goal_records(pipeline.goal, len(data), stages[0].accuracy, proven.accuracy, proven.fidelity),
        data=(
            run_record.data_record("calibration", prepared.context.calibration),
            run_record.data_record("validation", photos),
        ),
        stages=stages,
        layers=run_record.layer_records(model, model.origin or reference, layout),
        file=run_record.file_record(MODEL_FILE, data, model, layout),
        proof_seconds=proof_seconds,
        command=command,
        configuration=pipeline.configuration,
        versions=run_record.versions(),
        machine=run_record.machine(),
    )
    return ranks.from_first(Result(record, path, write_report(record, out)))


def _parameters(model: Model) -> int:
    return sum(tensor.to_dense().size for tensor in model.tensors.values())


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

    def stage(self, left: Left) -> None:
        """Validate what a stage left, and record it; against a new float network, all stages are measured again."""
        stage, model = left.stage, left.model
        with Meter() as validation:
            outputs = self._outputs(model)
        if left.is_reference:
            self.reference, self.expected = model, outputs
            before = zip(self.stages[1:], self._until_float, strict=True)
            again = [replace(record, fidelity=metrics.fidelity(found, outputs)) for record, found in before]
            self.stages = [self._baseline(), *again]
        if left.is_float:
            self._until_float.append(outputs)
        file_bytes = self.context.file_bytes(model)
        options = run_record.options_of(stage.step)
        costs = left.cost, validation.cost
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
        return metrics.run(network, self.photos, model.preprocessing, self.context.progress, self.context.ranks)

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
            sparsity=run_record.sparsity_of(model),
            bits_per_weight=file_bytes * 8 / run_record.weights_of(model),
            distinct_values=sum(run_record.distinct_values(model.tensors[layer]) for layer in model.weight_names()),
            seconds=costs[0].seconds,
            validation_seconds=costs[1].seconds,
            peak_memory_bytes=max(cost.peak_bytes for cost in costs),
            accuracy=metrics.accuracy(outputs),
            fidelity=metrics.fidelity(outputs, self.expected),
        )
