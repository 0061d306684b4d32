"""Times of stages in the reports of earlier runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from compress.configuration.config import Stage, options_of
from compress.errors import SqueezeError
from compress.model import Model
from compress.passes import Pass
from compress.pipeline import environment
from compress.pipeline.stage_costs import photo_passes
from compress.report.comparison.run_files import REPORT, NamedRun, read_run
from compress.report.record import RunRecord, StageRecord


class EarlierTime(NamedTuple):
    """Time and memory of a stage, from an earlier run.

    Attributes:
        seconds: of the pass, scaled to the photos and options of the stage.
        report: path of the report.
    """

    seconds: float
    peak_bytes: int
    report: str


def earlier_runs(out: Path, reference: Model) -> list[NamedRun]:
    """Return the runs in `out` and beside it that compressed this network on this machine, that in `out` first."""
    subject = (reference.architecture, reference.parameter_count(), environment.machine())
    runs = []
    for file in (out / REPORT, *sorted(out.resolve().parent.glob(f"*/{REPORT}"))):
        try:
            run = read_run(file)
        except (SqueezeError, OSError):
            continue  # of another version, or no report: it says nothing about times
        if (run.record.network, run.record.parameters, run.record.machine) == subject:
            runs.append(run)
    return runs


def earlier_time(stage: Stage, photos: int, runs: Sequence[NamedRun]) -> EarlierTime | None:
    """Return the time of the stage with the most equal options, scaled to `photos`; None: there is none of its kind."""
    options = options_of(stage.pass_)
    candidates = [(run, record) for run in runs for record in run.record.stages if record.kind == stage.pass_.kind]
    if not candidates:
        return None
    run, record = max(candidates, key=lambda each: sum(each[1].options.get(key) == options[key] for key in options))
    scale = _scale(stage.pass_, photos, record, run.record)
    return EarlierTime(record.seconds * scale, record.peak_memory_bytes, str(run.file))


def photos_of(record: RunRecord, role: str) -> int:
    """Return the number of photos of a role."""
    return next((data.photos for data in record.data if data.role == role), 0)


def _scale(pass_: Pass, photos: int, record: StageRecord, run: RunRecord) -> float:
    adapter: TypeAdapter[Any] = TypeAdapter(type(pass_))
    try:
        theirs = photo_passes(adapter.validate_python(record.options), photos_of(run, "calibration"))
    except ValidationError:  # options of another version
        return 1.0
    return photo_passes(pass_, photos) / theirs if theirs else 1.0
