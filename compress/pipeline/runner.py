"""A run of a pipeline: float weights in, `model.sqz` and its report out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from compress.configuration.config import Pipeline
from compress.context import Quality
from compress.evaluation.label_order import warn_of_other_order
from compress.model import Model
from compress.pipeline.inputs import RunInputs, load_inputs
from compress.pipeline.run_record import build_record
from compress.pipeline.stage_costs import earlier_runs
from compress.pipeline.stage_forecast import RunCosts, StageForecast, forecast_stages
from compress.pipeline.stage_recorder import StageRecorder
from compress.pipeline.stages import run_stages
from compress.report import write_report
from compress.report.goal_shortfall import goal_result
from compress.report.record import RunRecord, StageRecord
from compress.report.report_files import REPORT_FILES
from compress.runtime.atomic_files import check_writable, locked_folder
from compress.runtime.distributed import SINGLE_PROCESS, ProcessGroup
from compress.runtime.progress import Progress, no_progress
from compress.runtime.temporary_folders import temporary_folder

MODEL_FILE = "model.sqz"
CACHE = "cache"

Watch = Callable[[Sequence[StageForecast], Sequence[StageRecord]], None]
"""Gets the forecasts of all stages of a run, and the records of the finished ones, whenever a stage has finished."""


@dataclass(frozen=True)
class RunResult:
    """The result of a run.

    Attributes:
        record: all measurements.
        model_path: the `.sqz` file.
        report_path: `report.html`; the other files of the report are in the same folder.
    """

    record: RunRecord
    model_path: Path
    report_path: Path

    @property
    def goal_met(self) -> bool:
        """Whether the result meets all limits of the goal."""
        return all(goal.met for goal in self.record.goals)


def run(
    pipeline: Pipeline,
    out: Path,
    *,
    cache: Path | None = None,
    fresh: bool = False,
    command: str = "",
    device: str | None = None,
    progress: Progress = no_progress,
    watch: Watch | None = None,
    processes: ProcessGroup = SINGLE_PROCESS,
    memory_bytes: int | None = None,
) -> RunResult:
    """Run a pipeline.

    Args:
        pipeline: to run.
        out: folder for `model.sqz`, `report.json` and `report.html`, which replace those of an earlier run at the end.
        cache: folder for decoded photos, statistics, results of stages and checkpoints, which runs may share; None:
            `out`/cache.
        fresh: neither read nor write the cache.
        command: the command line that repeats this run, for the report.
        device: where networks run; None: a GPU if there is one.
        progress: reports the progress of long steps.
        watch: follows the stages.
        processes: the process group of the run; the first process writes files, and all return the same result.
        memory_bytes: memory that this process may use; None: half of the machine's. The result does not depend on it.
    Raises:
        SqueezeError: the run failed. A missed goal raises nothing: see `RunResult.goal_met`.
    """
    with temporary_folder() as temporary:
        folder = processes.from_first_of_machine(temporary) if fresh else cache or out / CACHE
        inputs = load_inputs(pipeline, folder, device, progress, out, processes, memory_bytes)
        if processes.is_first:
            check_writable(out, (MODEL_FILE, *REPORT_FILES))
        recorder = StageRecorder(inputs, show_photos=pipeline.report.photos)
        if processes.is_first and has_learned(pipeline):
            warn_of_other_order(recorder.reference_outputs)
        show_stages = _watcher(watch, pipeline, inputs, recorder, out)
        show_stages()
        for result in run_stages(pipeline, inputs, partial(_quality_of, pipeline, recorder)):
            recorder.record(result)
            show_stages()
        if not processes.is_first:
            return processes.receive(RunResult)
        file = temporary / MODEL_FILE
        data = recorder.record_file(file, pipeline.encode.codecs)
        show_stages()
        recorder.record_proof(file)
        show_stages()
        record = build_record(pipeline, inputs, recorder, MODEL_FILE, data, command)
    with locked_folder(out):  # another run may end now: the file and its report belong together
        report = write_report(record, out, {MODEL_FILE: data})
    return processes.broadcast(RunResult(record, out / MODEL_FILE, report))


def has_learned(pipeline: Pipeline) -> bool:
    """Return whether the float network knows its classes before the first stage."""
    return pipeline.model.is_trained or not any(stage.pass_.needs_labels for stage in pipeline.stages)


def _watcher(
    watch: Watch | None, pipeline: Pipeline, inputs: RunInputs, recorder: StageRecorder, out: Path
) -> Callable[[], None]:
    """Return a function that hands the stages to `watch`; the validation of the baseline tells the speed."""
    if not watch:
        return lambda: None
    photos = len(inputs.validation)
    costs = RunCosts(
        reference=inputs.reference,
        calibration=len(inputs.context.calibration),
        validation=photos,
        photo_seconds=recorder.stages[0].validation_seconds / photos,
        memory_bytes=inputs.context.memory_bytes,
    )
    forecasts = forecast_stages(pipeline, costs, earlier_runs(out, inputs.reference))
    return lambda: watch(forecasts, recorder.stages)


def _quality_of(pipeline: Pipeline, recorder: StageRecorder, model: Model) -> Quality:
    """Return the results of the goal's limits on quality for a model, measured as for the file at the end."""
    results = recorder.goal_results(model, pipeline.goal)
    return Quality(all(result.met for result in results), ", ".join(map(goal_result, results)))
