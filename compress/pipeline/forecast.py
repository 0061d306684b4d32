"""Forecast of a run without running a stage: cached stages, time and memory."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from compress.configuration.config import Pipeline
from compress.data.decoding import pixel_shape
from compress.data.photos import Photos
from compress.evaluation import metrics
from compress.model import Model
from compress.networks.modules import to_module
from compress.pipeline.inputs import list_inputs, load_inputs
from compress.pipeline.stage_costs import earlier_runs
from compress.pipeline.stage_forecast import RunCosts, StageForecast, forecast_stages
from compress.pipeline.stages import run_stages
from compress.runtime.devices import find_device
from compress.runtime.memory import default_memory_bytes
from compress.runtime.progress import no_progress

_TIMED_PHOTOS = 50
_FAST_SECONDS = 0.1
_DECODE_SECONDS = 0.005
"""A photo of ImageNet, scaled; photos of a camera take more, small ones less."""


@dataclass(frozen=True)
class RunForecast:
    """Forecast of a run.

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


def forecast(
    pipeline: Pipeline, out: Path, cache: Path | None, device: str | None = None, memory_bytes: int | None = None
) -> RunForecast:
    """Return the forecast of a run. This loads weights and lists photos; it decodes none and writes nothing.

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
    cached: int | None = None
    if cache and not undecoded:
        inputs = load_inputs(pipeline, cache, device, memory_bytes=memory_bytes, listed=listed)
        cached = sum(1 for _ in run_stages(pipeline, inputs, only_cached=True))
    elif not cache:
        cached = 0
    photos = {role: len(each.entries) for role, each in lists.items()}
    costs = RunCosts(
        reference=listed.reference,
        **photos,
        photo_seconds=_photo_seconds(listed.reference, device),
        memory_bytes=memory_bytes or default_memory_bytes(),
    )
    stages = forecast_stages(pipeline, costs, earlier_runs(out, listed.reference), cached)
    decoding = sum(len(lists[role].entries) for role in undecoded) * _DECODE_SECONDS
    return RunForecast(
        pipeline=pipeline.name,
        network=listed.reference.architecture,
        photos=photos,
        undecoded=undecoded,
        stages=stages,
        seconds=decoding + sum(stage.seconds for stage in stages),
        peak_memory_bytes=max(stage.peak_memory_bytes for stage in stages),
        free_memory_bytes=psutil.virtual_memory().available,
        out=str(out),
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
