"""A search: runs the trials, then the pipeline of the winner, and writes the results."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from compress import container
from compress.configuration.config import Pipeline, read_pipeline
from compress.configuration.search_space import Value, override
from compress.errors import ConfigError, SqueezeError
from compress.evaluation.goals import Goal
from compress.networks.factory import output_of
from compress.networks.network_identity import identity
from compress.pipeline import environment, runner
from compress.pipeline.inputs import RunInputs, load_inputs
from compress.pipeline.runner import CACHE, RunResult
from compress.runtime.atomic_files import write_atomically, write_files_atomically
from compress.runtime.file_names import escape_undecodable
from compress.runtime.program_code import code_digest
from compress.runtime.progress import Progress, no_progress
from compress.search.observation import Observation
from compress.search.search_pages import search_to_html
from compress.search.search_record import SEARCH_VERSION, Objective, Origin, SearchRecord, TrialRecord, pareto_front_of
from compress.search.sensitivity import scan
from compress.search.study import Study
from compress.search.study_storage import explain_lost_storage, open_storage
from compress.search.trial_runner import TrialRunner, first_searched_stage
from compress.search.tunables import tunables_of
from compress.search.warm_start import warm_start_points

WINNER_FILE, PAGE_FILE = "winner.yaml", "search.html"
_STUDY_FILE = "study.journal"


@dataclass(frozen=True)
class Limits:
    """Limits on the file; None: no limit.

    Attributes:
        bytes: maximum size.
        max_drop: maximum drop of top-1 in percentage points; without labels, the maximum percentage of photos whose
            top-1 class changes, which bounds that drop.
    """

    bytes: int | None = None
    max_drop: float | None = None

    def goal(self, *, labeled: bool) -> dict[str, float]:
        """Return the limits as a section `goal`."""
        limits: dict[str, float] = {} if self.bytes is None else {"bytes": self.bytes}
        if self.max_drop is None:
            return limits
        drop = {"max_top1_drop": self.max_drop} if labeled else {"min_agreement": round(1 - self.max_drop / 100, 6)}
        return limits | drop


def search(
    pipeline: Pipeline,
    limits: Limits,
    out: Path,
    *,
    trials: int,
    minutes: float | None = None,
    study: str | None = None,
    cache: Path | None = None,
    device: str | None = None,
    progress: Progress = no_progress,
    on_trial: Callable[[TrialRecord], None] = lambda trial: None,
) -> tuple[SearchRecord, RunResult]:
    """Search the smallest file within accuracy limits, or the file closest to the float network within bytes.

    Args:
        pipeline: has a section `search`.
        limits: on the file; none: the goal of the pipeline.
        out: folder for `winner.yaml`, `model.sqz`, and the reports of the search and of the winner.
        trials: number of trials in the study, earlier ones and the ones of other machines included.
        minutes: time after which no trial starts.
        study: path or database URL of the study, which machines may share; None: `out`/study.journal.
        cache: folder that runs share; None: `out`/cache.
        device: where networks run; None: a GPU if there is one.
        progress: reports the progress.
        on_trial: called after each trial.
    Returns:
        the search, and the winner's run.
    Raises:
        ConfigError: the pipeline has no section `search`, there are no limits, or the study is not available.
        SqueezeError: the connection to the study was lost, or the pipeline fails with its initial values.
    """
    _check_searchable(pipeline, limits)
    deadline = math.inf if minutes is None else time.monotonic() + minutes * 60
    place = study or str(out / _STUDY_FILE)
    storage = open_storage(place)
    pipeline, inputs = _load(pipeline, limits, cache or out / CACHE, device, progress)
    runner = TrialRunner(inputs, first_searched_stage(pipeline))

    def observe(values: Mapping[str, Value]) -> Iterator[Observation]:
        yield from runner.observe(_with_values(pipeline, values))

    with explain_lost_storage(place):
        opened = Study(storage, _study_name(pipeline, inputs), pipeline.search, pipeline.goal, pipeline.seed)
        opened.requeue_lost_trials()
        if opened.is_new:
            opened.enqueue(_first_points(pipeline, inputs))
        while (count := len(opened.finished())) < trials and (count == 0 or time.monotonic() < deadline):
            trial = opened.run_trial(observe)
            if trial is None:
                break
            on_trial(trial)
        record = _record(pipeline, opened.finished(), opened.importances())
    return record, _run_winner(pipeline, inputs, record, out)


def _check_searchable(pipeline: Pipeline, limits: Limits) -> None:
    if not pipeline.search:
        allowed = "keys as in --set, each with {min: ..., max: ...} or a list of choices; see docs/search.md"
        raise pipeline.document.error(["search"], "the pipeline has no values to search", allowed)
    for index, stage in enumerate(pipeline.stages):
        if stage.pass_.needs_goal:
            problem = "smallest is a search of its own; give bytes or lambda here, or use 'run'"
            raise pipeline.document.error(["stages", index, "bytes"], problem)
    if limits == Limits() and pipeline.goal == Goal():
        raise ConfigError("there are no limits; give --bytes, --max-drop or both, or a 'goal' in the pipeline")


def _load(
    pipeline: Pipeline, limits: Limits, cache: Path, device: str | None, progress: Progress
) -> tuple[Pipeline, RunInputs]:
    """Return the pipeline with the limits as its goal, and its inputs."""
    has_limits = limits != Limits()
    inputs = load_inputs(pipeline.with_overrides(["goal={}"] if has_limits else []), cache, device, progress)
    if output_of(inputs.reference).kind == "values":
        problem = "search minimizes a divergence, and the compared outputs are values"
        raise pipeline.document.error(["model", "outputs"], problem, "an output that is a distribution, or run")
    if not has_limits:
        return pipeline, inputs
    goal = limits.goal(labeled=inputs.validation.labels is not None)
    return pipeline.with_overrides([f"goal={json.dumps(goal)}"]), inputs


def _with_values(pipeline: Pipeline, values: Mapping[str, Value]) -> Pipeline:
    return pipeline.with_overrides([override(key, value) for key, value in values.items()])


def _study_name(pipeline: Pipeline, inputs: RunInputs) -> str:
    """Return a name that is equal for the same search on the same photos by the same program."""
    affects_result = [
        pipeline.configuration, asdict(pipeline.goal), code_digest(),
        container.weights_sha256(inputs.reference), *identity(inputs.reference), inputs.context.calibration.fingerprint,
        inputs.validation.fingerprint,
    ]  # fmt: skip
    return f"{pipeline.name}-{hashlib.sha256(json.dumps(affects_result).encode()).hexdigest()[:16]}"


def _first_points(pipeline: Pipeline, inputs: RunInputs) -> list[tuple[Origin, Mapping[str, Value]]]:
    """Return the values to try first: the initial ones, then the warm-start points."""
    initial: tuple[Origin, Mapping[str, Value]] = "pipeline", {each.key: each.initial for each in pipeline.search}
    if not tunables_of(pipeline):
        return [initial]
    points = warm_start_points(pipeline, scan(pipeline, inputs), inputs.reference)
    return [initial, *(("scan", point) for point in points)]


def _record(pipeline: Pipeline, finished: Sequence[TrialRecord], importances: Mapping[str, float]) -> SearchRecord:
    limits = {key: float(limit) for key, limit in asdict(pipeline.goal).items() if limit is not None}
    objective: Objective = "smallest" if pipeline.goal.bytes is None else "closest"
    winner = best_trial(finished, objective, bytes_only=list(limits) == ["bytes"])
    return SearchRecord(
        version=SEARCH_VERSION,
        pipeline=escape_undecodable(pipeline.name),
        goal=limits,
        objective=objective,
        initial={each.key: each.initial for each in pipeline.search},
        trials=tuple(finished),
        winner=winner.number,
        feasible=winner.violation == 0,
        pareto_front=pareto_front_of(finished),
        importances=importances,
    )


def best_trial(finished: Sequence[TrialRecord], objective: Objective, *, bytes_only: bool) -> TrialRecord:
    """Return the best trial that meets the goal; if none does, the one that misses it least.

    If bytes are the only limit, trials that were pruned as too large count, too.

    Raises:
        SqueezeError: no trial was measured.
    """

    def order(trial: TrialRecord) -> tuple[float, ...]:
        file_bytes = trial.file_bytes or 0
        divergence = math.inf if trial.divergence_nats is None else trial.divergence_nats
        pair = (file_bytes, divergence) if objective == "smallest" else (divergence, file_bytes)
        return (trial.violation, *pair, trial.number)

    measured = [trial for trial in finished if trial.state == "measured"]
    too_large = [trial for trial in finished if bytes_only and trial.state == "pruned" and trial.violation > 0]
    if not measured + too_large:
        raise SqueezeError("no trial was measured on all photos; continue the search with more --trials")
    return min(measured + too_large, key=order)


def _run_winner(pipeline: Pipeline, inputs: RunInputs, record: SearchRecord, out: Path) -> RunResult:
    """Write the winner's pipeline, run it with the proof of its file, and write the page."""
    path = out / WINNER_FILE
    write_atomically(path, _with_values(pipeline, record.trial(record.winner).values).configuration.encode())
    winner = replace(read_pipeline(path), name=pipeline.name)  # runs the pipeline of the file
    command = environment.run_command(str(path), None, ())
    device, progress = str(inputs.context.device), inputs.context.progress
    result = runner.run(winner, out, cache=inputs.cache, command=command, device=device, progress=progress)
    page = search_to_html(record, result.record).encode()
    write_files_atomically(out, {"search.json": record.to_json().encode(), PAGE_FILE: page})
    return result
