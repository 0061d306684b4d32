"""What a run would do, how long it may take and how much memory, without running a stage."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil

from compress.calibration.memory_plan import statistics_memory
from compress.data.decoding import pixel_shape
from compress.data.photos import Photos
from compress.evaluation import metrics
from compress.model import Model
from compress.networks.modules import to_module
from compress.pipeline.config import Pipeline, Stage
from compress.pipeline.earlier_times import earlier_runs, earlier_time
from compress.pipeline.inputs import ListedInputs, list_inputs, load_inputs
from compress.pipeline.resource_meter import ResourceUsage
from compress.pipeline.stage_costs import photo_passes, weight_seconds
from compress.pipeline.stages import run_stages
from compress.report.comparison.run_files import NamedRun
from compress.runtime.devices import find_device
from compress.runtime.memory import default_memory_bytes, resident_bytes
from compress.runtime.progress import no_progress

GUESS = "guess"
_CACHE = "cache"
_TIMED_PHOTOS = 50
_FAST_SECONDS = 0.1
_DECODE_SECONDS = 0.02
"""A photo of a camera, scaled; small images take less."""

_START_SECONDS = 5.0
"""Start of the process that reads the file back."""


@dataclass(frozen=True)
class StageForecast:
    """What a run will do in one stage.

    Attributes:
        is_cached: its result is in the cache; None: unknown until the photos are decoded.
        seconds: about, with the validation after it.
        peak_memory_bytes: about.
        source: of the time: `cache`, the report of an earlier run, or `guess`.
    """

    name: str
    kind: str
    is_cached: bool | None
    seconds: float
    peak_memory_bytes: int
    source: str


@dataclass(frozen=True)
class RunForecast:
    """What a run will do.

    Attributes:
        network: name of the architecture.
        photos: number by role.
        undecoded: roles whose decoded photos are not in the cache.
        stages: baseline, passes, encode and proof.
        seconds: about, with decoding.
        peak_memory_bytes: about, the maximum.
        free_memory_bytes: that programs can get now.
        out: folder that the run will write to.
    """

    pipeline: str
    network: str
    photos: dict[str, int]
    undecoded: tuple[str, ...]
    stages: tuple[StageForecast, ...]
    seconds: float
    peak_memory_bytes: int
    free_memory_bytes: int
    out: str

    def to_json(self) -> dict[str, object]:
        """Return the forecast as JSON values."""
        return asdict(self)


def forecast(
    pipeline: Pipeline, out: Path, cache: Path | None, device: str | None = None, memory_bytes: int | None = None
) -> RunForecast:
    """Return what a run would do. It loads weights and lists photos, decodes none and writes nothing.

    Args:
        pipeline: to run.
        out: folder for the results; reports in it and beside it tell times.
        cache: folder of the run's cache; None: the run will neither read nor write one.
        device: where networks run; None: a GPU if there is one.
        memory_bytes: memory that the run may use; None: half of the machine's.
    Raises:
        SqueezeError: weights or photos are not available, or do not suit the stages and the goal.
    """
    listed = list_inputs(pipeline, memory_bytes)
    lists = {"calibration": listed.calibration, "validation": listed.validation}
    preprocessing = listed.reference.preprocessing
    undecoded = tuple(role for role, each in lists.items() if not (cache and each.is_decoded(preprocessing, cache)))
    cached: list[ResourceUsage] | None = None
    if cache and not undecoded:
        inputs = load_inputs(pipeline, cache, device, memory_bytes=memory_bytes)
        cached = [result.usage for result in run_stages(pipeline, inputs, only_cached=True)]
    elif not cache:
        cached = []
    stages = _stage_forecasts(pipeline, listed, cached, earlier_runs(out, listed.reference), device, memory_bytes)
    decoding = sum(len(lists[role].entries) for role in undecoded) * _DECODE_SECONDS
    return RunForecast(
        pipeline=pipeline.name,
        network=listed.reference.architecture,
        photos={role: len(each.entries) for role, each in lists.items()},
        undecoded=undecoded,
        stages=stages,
        seconds=decoding + sum(stage.seconds for stage in stages),
        peak_memory_bytes=max(stage.peak_memory_bytes for stage in stages),
        free_memory_bytes=psutil.virtual_memory().available,
        out=str(out),
    )


def _stage_forecasts(
    pipeline: Pipeline,
    listed: ListedInputs,
    cached: Sequence[ResourceUsage] | None,
    runs: Sequence[NamedRun],
    device: str | None,
    memory_bytes: int | None,
) -> tuple[StageForecast, ...]:
    """Return the forecasts of all stages; `cached` are the first stages, whose results need not be computed."""
    photo_seconds = _photo_seconds(listed.reference, device)
    validation = photo_seconds * len(listed.validation.entries)
    memory, allowed = resident_bytes(), memory_bytes or default_memory_bytes()
    weights = sum(math.prod(listed.reference.tensors[name].shape) for name in listed.reference.weight_names())

    def of_pass(index: int, stage: Stage) -> StageForecast:
        kind, photos = stage.pass_.kind, len(listed.calibration.entries)
        if cached is not None and index < len(cached):
            return StageForecast(stage.name, kind, True, validation, memory, _CACHE)
        is_cached = None if cached is None else False
        if earlier := earlier_time(stage, photos, runs):
            seconds, peak = earlier.seconds + validation, max(earlier.peak_bytes, memory)
            return StageForecast(stage.name, kind, is_cached, seconds, peak, earlier.report)
        seconds = photo_passes(stage.pass_, photos) * photo_seconds
        peak = memory
        if (row_block_bytes := stage.pass_.row_block_bytes) is not None:
            statistics = statistics_memory(listed.reference, row_block_bytes)
            seconds *= len(statistics.sweeps(allowed - memory))
            peak = min(memory + statistics.maximum_bytes, allowed)
        seconds += weight_seconds(stage.pass_, weights) + validation
        return StageForecast(stage.name, kind, is_cached, seconds, peak, GUESS)

    return (
        StageForecast("baseline", "baseline", False, validation, memory, GUESS),
        *(of_pass(index, stage) for index, stage in enumerate(pipeline.stages)),
        StageForecast("encode", "encode", False, 1.0, memory, GUESS),
        StageForecast("proof", "proof", False, validation + _START_SECONDS, memory, GUESS),
    )


def _photo_seconds(reference: Model, device: str | None) -> float:
    """Return the time of a forward pass over a photo, measured on noise; of a fast network, in a batch."""
    network = to_module(reference, find_device(device))

    def seconds(photos: int) -> float:
        shape = (photos, *pixel_shape(reference.preprocessing))
        pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        started = time.perf_counter()
        metrics.run(network, Photos(pixels, None, (), "noise", ""), reference.preprocessing, no_progress)
        return (time.perf_counter() - started) / photos

    seconds(1)  # the first pass prepares
    alone = seconds(1)
    return seconds(_TIMED_PHOTOS) if alone < _FAST_SECONDS else alone
