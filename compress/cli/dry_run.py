"""The output of `run --dry-run`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from compress.cli import console

if TYPE_CHECKING:
    from compress.configuration.config import Pipeline
    from compress.pipeline.forecast import RunForecast
    from compress.pipeline.stage_forecast import StageForecast

_OWN_STEPS = {
    "baseline": "validates the float network",
    "encode": "writes the file",
    "proof": "reads the file back, validates",
}
_PASSES = {True: "is read from the cache, validated", False: "runs, validated", None: "runs unless it is cached"}


def show_forecast(
    pipeline: Pipeline,
    out: Path,
    device: str | None,
    *,
    cache: Path | None,
    fresh: bool,
    as_json: bool,
    memory_bytes: int | None,
) -> None:
    """Print the forecast of a run; errors as in `compress.pipeline.forecast.forecast`."""
    from compress.pipeline.forecast import forecast  # noqa: PLC0415
    from compress.pipeline.runner import CACHE  # noqa: PLC0415

    result = forecast(pipeline, out, None if fresh else cache or out / CACHE, device, memory_bytes)
    if as_json:
        console.say_json(asdict(result))
    else:
        _show(result)


def _show(forecast: RunForecast) -> None:
    from compress.pipeline.stage_forecast import GUESS  # noqa: PLC0415
    from compress.report.formatting import gigabytes, to_ascii, whole_seconds  # noqa: PLC0415

    console.say(f"{forecast.pipeline}: {forecast.network}")
    for role, count in forecast.photos.items():
        state = "to decode" if role in forecast.undecoded else "decoded"
        console.say(f"{role}: {count:,} photos, {state}")
    columns = ("stage", "what happens", "known from", "time", "memory")
    console.show_table(columns, [_row(stage) for stage in forecast.stages], text_columns=3)
    console.say("")
    memory, free = gigabytes(forecast.peak_memory_bytes), gigabytes(forecast.free_memory_bytes)
    console.say(to_ascii(f"about {whole_seconds(forecast.seconds)} and {memory} of memory; {free} are free"))
    if any(stage.source == GUESS for stage in forecast.stages):
        console.say("Guesses follow from the speed of the float network here, and may be off by a factor of 3.")
    console.say(f"A run would write model.sqz, report.html and report.json into {forecast.out}. Nothing was run.")


def _row(stage: StageForecast) -> list[str]:
    from compress.report.formatting import gigabytes, to_ascii, whole_seconds  # noqa: PLC0415

    action = _OWN_STEPS.get(stage.kind) or _PASSES[stage.is_cached]
    amounts = whole_seconds(stage.seconds), gigabytes(stage.peak_memory_bytes)
    return [stage.name, action, stage.source, *map(to_ascii, amounts)]
