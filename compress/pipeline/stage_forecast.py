"""How long the stages of a run may take and how much memory, from earlier runs or as a guess."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compress.calibration.memory_plan import statistics_memory
from compress.configuration.config import Pipeline, Stage
from compress.model import Model
from compress.passes import Pass
from compress.pipeline.resource_meter import ResourceUsage
from compress.pipeline.stage_costs import earlier_usage, photo_passes, weight_seconds
from compress.report.comparison.run_files import NamedRun
from compress.runtime.memory import resident_bytes

GUESS = "guess"
_CACHE = "cache"
_START_SECONDS = 5.0
"""Start of the process that reads the file back."""


@dataclass(frozen=True)
class StageForecast:
    """Forecast of one stage.

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


@dataclass(frozen=True, eq=False)
class RunCosts:
    """Inputs of the forecasts of all stages.

    Attributes:
        reference: the float network.
        calibration: number of photos.
        validation: number of photos.
        photo_seconds: of a forward pass over one photo.
        memory_bytes: that the run may use.
    """

    reference: Model
    calibration: int
    validation: int
    photo_seconds: float
    memory_bytes: int


def forecast_stages(
    pipeline: Pipeline, costs: RunCosts, runs: Sequence[NamedRun], cached: int | None = None
) -> tuple[StageForecast, ...]:
    """Return the forecasts of all stages: baseline, passes, encode and proof.

    `cached` is how many of the first stages have their results in the cache; None: unknown.
    The first of `runs` is preferred.
    """
    validation, memory = costs.photo_seconds * costs.validation, resident_bytes()

    def of_pass(index: int, stage: Stage) -> StageForecast:
        is_cached = None if cached is None else index < cached
        if is_cached:
            usage, source = ResourceUsage(), _CACHE
        else:
            earlier = [before.pass_ for before in pipeline.stages[:index]]
            known = earlier_usage(stage, costs.calibration, runs)
            usage, source = known or (_guess(stage.pass_, earlier, costs, memory), GUESS)
        seconds, peak = usage.seconds + validation, max(usage.peak_bytes, memory)
        return StageForecast(stage.name, stage.pass_.kind, is_cached, seconds, peak, source)

    return (
        StageForecast("baseline", "baseline", False, validation, memory, GUESS),
        *(of_pass(index, stage) for index, stage in enumerate(pipeline.stages)),
        StageForecast("encode", "encode", False, 1.0, memory, GUESS),
        StageForecast("proof", "proof", False, validation + _START_SECONDS, memory, GUESS),
    )


def _guess(pass_: Pass, earlier: Sequence[Pass], costs: RunCosts, memory: int) -> ResourceUsage:
    """Return the guessed usage of a pass after `earlier` ones, in a process that has so much memory already."""
    seconds, peak = photo_passes(pass_, costs.calibration, earlier) * costs.photo_seconds, memory
    if (row_block_bytes := pass_.row_block_bytes) is not None:
        statistics = statistics_memory(costs.reference, row_block_bytes)
        seconds *= len(statistics.sweeps(costs.memory_bytes - memory))
        peak = min(memory + statistics.maximum_bytes, costs.memory_bytes)
    weights = costs.reference.parameter_count(costs.reference.weight_names())
    return ResourceUsage(seconds + weight_seconds(pass_, weights), peak)
