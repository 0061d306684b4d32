"""A search: trials within limits, the best of them run and proven, and what is left of it: a pipeline and a page."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from compress import container
from compress import pipeline as pipelines
from compress.errors import ConfigError, SqueezeError
from compress.evaluation.goals import Goal
from compress.evaluation.text import as_text
from compress.pipeline import Pipeline, Result, read_pipeline, run_record
from compress.pipeline.run import CACHE
from compress.pipeline.search_space import Value, override
from compress.pipeline.stage_cache import code_digest
from compress.pipeline.stages import Prepared, prepare
from compress.runtime.atomic_files import write_atomically
from compress.runtime.progress import Progress, silent
from compress.search.page import to_html
from compress.search.record import SEARCH_VERSION, Origin, SearchRecord, TrialRecord, Wanted, front_of
from compress.search.sensitivity import scan
from compress.search.storage import open_storage, reachable, shown
from compress.search.study import Study
from compress.search.trial_measurement import Measured
from compress.search.trial_runner import Judge, first_searched
from compress.search.tunables import amounts_of
from compress.search.warm_start import first_points

WINNER_FILE = "winner.yaml"
_STUDY_FILE = "study.journal"


@dataclass(frozen=True)
class Limits:
    """What is asked of the file; what is not given is not asked.

    Attributes:
        bytes: at most.
        max_drop: percentage points of top-1 that it may lose; without labels, of photos whose first answer may change,
            which top-1 cannot lose more of.
    """

    bytes: int | None = None
    max_drop: float | None = None

    def goal(self, *, labelled: bool) -> dict[str, float]:
        """Return the goal that says so."""
        limits: dict[str, float] = {} if self.bytes is None else {"bytes": self.bytes}
        if self.max_drop is not None and labelled:
            limits["max_top1_drop"] = self.max_drop
        elif self.max_drop is not None:
            limits["min_agreement"] = round(1 - self.max_drop / 100, 6)
        return limits


@dataclass(frozen=True)
class Found:
    """What a search leaves.

    Attributes:
        record: its trials.
        result: the run of the winner.
        winner_path: the pipeline that makes the winner.
        page_path: `search.html`; `search.json` lies beside it.
        running: trials that others are still at.
    """

    record: SearchRecord
    result: Result
    winner_path: Path
    page_path: Path
    running: int


def search(
    pipeline: Pipeline,
    limits: Limits,
    out: Path,
    *,
    trials: int,
    minutes: float | None = None,
    study: str | None = None,
    cache: Path | None = None,
    command: str = "",
    device: str | None = None,
    progress: Progress = silent,
    tell: Callable[[TrialRecord], None] = lambda trial: None,
) -> Found:
    """Search for the smallest file within a drop, or for the closest within bytes.

    Args:
        pipeline: says what may be searched.
        limits: what is asked; the pipeline's own goal if nothing is.
        out: folder for `winner.yaml`, `model.sqz`, and the reports of the search and of the winner.
        trials: how many in all, those of earlier searches and of other machines in the same study among them.
        minutes: begin no trial later than that.
        study: file or URL of the study, which several machines may share; `out`/study.journal if None.
        cache: folder for what runs share; `out`/cache if None.
        command: the command line that goes on with it, for the page.
        device: where networks run; a GPU if there is one, unless told otherwise.
        progress: shows how far it is.
        tell: is told of each trial that is done.
    Raises:
        ConfigError: nothing is searchable, nothing is asked, or the study cannot be reached.
        SqueezeError: the study was lost on the way, or the pipeline fails as it stands.
    """
    if not pipeline.search:
        raise pipeline.document.error(["search"], "says nothing that may be searched", "keys as --set takes them, each "
                                      "with {min: ..., max: ...} or a list of choices; see docs/search.md")  # fmt: skip
    if limits == Limits() and pipeline.goal == Goal():
        raise ConfigError("nothing is asked of the file; give --bytes, --max-drop or both, or the pipeline a goal")
    ends = None if minutes is None else time.monotonic() + minutes * 60
    where, cache = study or str(out / _STUDY_FILE), cache or out / CACHE
    storage = open_storage(where)
    asked = limits != Limits()
    prepared = prepare(pipeline.with_overrides(["goal={}"]) if asked else pipeline, cache, device, progress)
    pipeline = _with_goal(pipeline, limits, labelled=prepared.validation.labels is not None) if asked else pipeline
    judge = Judge(prepared, cache, first_searched(pipeline))

    def measure(values: Mapping[str, Value]) -> Iterator[Measured]:
        yield from judge.measure(_with(pipeline, values))

    with reachable(where):
        opened = Study(storage, _name(pipeline, prepared), pipeline.search, pipeline.goal, pipeline.seed)
        opened.take_up_what_was_lost()
        if opened.is_new:
            opened.begin_with(_first(pipeline, prepared, cache))
        while (made := len(opened.done())) < trials and (not made or ends is None or time.monotonic() < ends):
            tell(opened.next_trial(measure))
        done, importances, running = opened.done(), opened.importances(), opened.running()
    record = _record(pipeline, done, importances, prepared, shown(where), command)
    return _finished(pipeline, record, running, out, cache, device, progress)


def _with_goal(pipeline: Pipeline, limits: Limits, *, labelled: bool) -> Pipeline:
    """Return the pipeline with the limits for its goal, so that whoever runs the winner is told whether it holds."""
    return pipeline.with_overrides([f"goal={json.dumps(limits.goal(labelled=labelled))}"])


def _with(pipeline: Pipeline, values: Mapping[str, Value]) -> Pipeline:
    return pipeline.with_overrides([override(key, value) for key, value in values.items()])


def _name(pipeline: Pipeline, prepared: Prepared) -> str:
    """Return the study's name: the same where the same is searched on the same photos by the same program."""
    decided_by = [
        pipeline.configuration, asdict(pipeline.goal), code_digest(), container.weights_sha256(prepared.reference),
        prepared.context.calibration.fingerprint, prepared.validation.fingerprint,
    ]  # fmt: skip
    return f"{pipeline.name}-{hashlib.sha256(json.dumps(decided_by).encode()).hexdigest()[:16]}"


def _first(pipeline: Pipeline, prepared: Prepared, cache: Path) -> list[tuple[Origin, Mapping[str, Value]]]:
    """Return what is tried first: the pipeline's own values, then those that a scan of the layers points to."""
    own: tuple[Origin, Mapping[str, Value]] = "pipeline", {each.key: each.own for each in pipeline.search}
    if not amounts_of(pipeline):
        return [own]
    points = first_points(pipeline, scan(pipeline, prepared, cache), prepared.reference)
    return [own, *(("scan", point) for point in points)]


def _record(
    pipeline: Pipeline,
    done: Sequence[TrialRecord],
    importances: Mapping[str, float],
    prepared: Prepared,
    study: str,
    command: str,
) -> SearchRecord:
    limits = {key: float(limit) for key, limit in asdict(pipeline.goal).items() if limit is not None}
    wanted: Wanted = "smallest" if pipeline.goal.bytes is None else "closest"
    winner = best(done, wanted, bytes_alone=list(limits) == ["bytes"])
    return SearchRecord(
        version=SEARCH_VERSION,
        pipeline=as_text(pipeline.name),
        goal=limits,
        wanted=wanted,
        own={each.key: each.own for each in pipeline.search},
        trials=tuple(done),
        winner=winner.number,
        feasible=winner.excess == 0,
        front=front_of(done),
        importances=importances,
        study=as_text(study),
        command=command,
        seed=pipeline.seed,
        photos=len(prepared.validation),
        data=as_text(prepared.validation.description),
    )


def best(done: Sequence[TrialRecord], wanted: Wanted, *, bytes_alone: bool) -> TrialRecord:
    """Return the trial that meets the goal and has what is wanted; where none meets it, the nearest.

    Args:
        done: the trials.
        wanted: the `smallest` or the `closest`.
        bytes_alone: the goal asks for nothing but bytes: then one that was pruned as too large may be the nearest.
    Raises:
        SqueezeError: none of them was measured.
    """

    def order(trial: TrialRecord) -> tuple[float, ...]:
        size, divergence = trial.file_bytes or 0, math.inf if trial.divergence_nats is None else trial.divergence_nats
        pair = (size, divergence) if wanted == "smallest" else (divergence, size)
        return (trial.excess, *pair, trial.number)

    too_large = [trial for trial in done if bytes_alone and trial.state == "pruned" and trial.excess > 0]
    known = [trial for trial in done if trial.state == "measured"] + too_large
    if not known:
        raise SqueezeError("no trial was measured to the end yet; let the search go on with more --trials")
    return min(known, key=order)


def _finished(
    pipeline: Pipeline,
    record: SearchRecord,
    running: int,
    out: Path,
    cache: Path,
    device: str | None,
    progress: Progress,
) -> Found:
    """Run the winner, so that its file is read back and proven, and write what is left of the search."""
    path, page = out / WINNER_FILE, out / "search.html"
    write_atomically(path, _with(pipeline, record.trial(record.winner).values).configuration.encode())
    won = replace(read_pipeline(path), name=pipeline.name)  # what was written is what is run
    command = run_record.as_command(str(path), None, ())
    result = pipelines.run(won, out, cache=cache, command=command, device=device, progress=progress)
    write_atomically(out / "search.json", record.to_json().encode())
    write_atomically(page, to_html(record, won.configuration, command, result.record).encode())
    return Found(record, result, path, page, running)
