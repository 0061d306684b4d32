"""Cost of a stage: its time and memory in an earlier run, or a number of forward passes over single photos.

The latter is a rough guess for runs without a record. Its factors are from the recorded times of the built-in pipelines
on 2 cores, see `docs/results.md`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from compress.configuration.config import Stage, options_of
from compress.errors import SqueezeError
from compress.model import Model
from compress.passes import Distill, Pass, Prune, Quantize, Share, Train
from compress.passes.rate_distortion_pass import RateDistortionPass
from compress.pipeline import environment
from compress.pipeline.resource_meter import ResourceUsage
from compress.report.comparison.run_files import REPORT, NamedRun, read_run
from compress.report.record import RunRecord, StageRecord

_STATISTICS = 3
"""Statistics of a photo take as long as this many forward passes; each further augmentation takes 1."""

_TRAINING_STEP = 3
"""A training step takes one forward pass, and two for the gradients; `distill` runs the float network too."""

_UPDATE_SECONDS, _SHARE_SECONDS, _QUANTIZE_SECONDS = 5e-6, 2e-5, 8e-5
"""Time of a weight: to update it once for pruned ones; to derive its feedback, and to assign it some ten times, to
shared values or along a trellis."""

_SEARCH_SECONDS = 10.0
"""Time of a search for lambda along a trellis besides that of its weights: small networks take more trials."""


def weight_seconds(pass_: Pass, weights: int) -> float:
    """Return about how long a pass works on the weights of a network, besides photos."""
    match pass_:
        case Pass(row_block_bytes=None | 0):
            return 0.0
        case Prune():
            return _UPDATE_SECONDS * pass_.iterations * weights
        case Share():
            return _SHARE_SECONDS * weights
        case Quantize(bytes=None):
            return _QUANTIZE_SECONDS * weights
    return _SEARCH_SECONDS + _QUANTIZE_SECONDS * weights


def photo_passes(pass_: Pass, photos: int, earlier: Sequence[Pass] = ()) -> int:
    """Return about how many forward passes over single photos a pass takes with this number of calibration photos.

    Statistics that the last one of the `earlier` passes has gathered are not gathered again.
    """
    statistics = _statistics(pass_)
    has_statistics = statistics is not None and statistics in map(_statistics, earlier[-1:])
    match pass_:
        case Prune(row_block_bytes=None) | Share(row_block_bytes=None):
            return 0
        case Train():
            return _TRAINING_STEP * pass_.epochs * photos
        case Distill():
            return (_TRAINING_STEP + 1) * pass_.steps * pass_.batch
        case Prune():
            return 0 if has_statistics else _STATISTICS * min(pass_.statistics_photos or photos, photos)
        case RateDistortionPass():
            used = 0 if has_statistics else min(pass_.statistics_photos or photos, photos)
            measured = min(pass_.sensitivity_photos, photos)
            return (_STATISTICS + pass_.augmentations - 1) * used + _STATISTICS * measured
    return 0


def _statistics(pass_: Pass) -> tuple[object, ...] | None:
    """Return what determines the statistics of a pass on given photos; None: it gathers none."""
    if not isinstance(pass_, Prune | RateDistortionPass) or pass_.row_block_bytes is None:
        return None
    augmentations = getattr(pass_, "augmentations", 1)
    return pass_.statistics_photos, augmentations, pass_.row_block_bytes, pass_.half_precision


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


def earlier_usage(stage: Stage, photos: int, runs: Sequence[NamedRun]) -> tuple[ResourceUsage, str] | None:
    """Return time and memory of the stage with the most equal options, and the path of its report.

    The time is scaled to the photos and options of the stage. None: there is no stage of its kind.
    """
    options = options_of(stage.pass_)
    candidates = [(run, record) for run in runs for record in run.record.stages if record.kind == stage.pass_.kind]
    if not candidates:
        return None
    run, record = max(candidates, key=lambda each: sum(each[1].options.get(key) == options[key] for key in options))
    scale = _scale(stage.pass_, photos, record, run.record)
    return ResourceUsage(record.seconds * scale, record.peak_memory_bytes), str(run.file)


def _scale(pass_: Pass, photos: int, record: StageRecord, run: RunRecord) -> float:
    adapter: TypeAdapter[Any] = TypeAdapter(type(pass_))
    their_photos = next((data.photos for data in run.data if data.role == "calibration"), 0)
    try:
        theirs = photo_passes(adapter.validate_python(record.options), their_photos)
    except ValidationError:  # options of another version
        return 1.0
    return photo_passes(pass_, photos) / theirs if theirs else 1.0
