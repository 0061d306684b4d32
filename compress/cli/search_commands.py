"""The commands `search` and `sensitivity`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from compress.cli import console, options
from compress.cli.run_command import show_result
from compress.errors import ConfigError

if TYPE_CHECKING:
    from compress.search.search_record import TrialRecord


@click.command()
@options.pipeline
@click.option("-o", "--out", type=options.FOLDER, help="Folder for the results. [default: out/NAME-search]")
@click.option("--bytes", "max_bytes", type=options.FileBytes(), metavar="BYTES", help="Maximum file size: 400kB.")
@click.option(
    "--max-drop", type=options.FiniteFloat(0, 100), metavar="POINTS", help="Maximum drop of top-1, percentage points."
)
@click.option(
    "--trials",
    type=options.Integer(1),
    default=30,
    show_default=True,
    help="Different values to try, on all machines together.",
)
@click.option("--minutes", type=options.FiniteFloat(0), help="Start no trial after this time.")
@click.option(
    "--study",
    type=options.TEXT,
    help="File or database URL of the trials; machines may share it. [default: OUT/study.journal]",
)
def search(
    pipeline: str,
    overrides: tuple[str, ...],
    seed: int | None,
    out: Path | None,
    max_bytes: int | None,
    max_drop: float | None,
    as_json: bool,
    **more: Any,
) -> None:
    """Find the best values of the searchable keys of PIPELINE.

    With --bytes: the file with the lowest divergence within this size. With --max-drop alone: the smallest file within
    this drop. With neither: the goal of the pipeline. The winner is run at the end. A search that was stopped continues
    with the same command, and other machines join it with the same --study.

    Exit codes: 0 done, 1 failed, 2 bad configuration, 3 no trial meets the limits.

    Example: squeeze-compress search pipeline.yaml --bytes 400kB
    """
    _check_installed()
    spec = options.read_pipeline(pipeline, overrides, seed)  # before the slow imports
    from compress.report.goal_shortfall import check_goals  # noqa: PLC0415
    from compress.search import run_search  # noqa: PLC0415

    folder = out or Path("out") / f"{spec.name}-search"
    limits = run_search.Limits(max_bytes, max_drop)
    record, result = run_search.search(spec, limits, folder, progress=console.progress, on_trial=_show_trial, **more)
    if as_json:
        console.say_json(asdict(record))
    else:
        show_result(result)
        winner = record.trial(record.winner)
        path = folder / run_search.WINNER_FILE
        console.say(f"winner: {path}, trial {winner.number}, the best of {len(record.trials)}: {_values(winner)}")
        console.say(f"search: {folder / run_search.PAGE_FILE}")
    check_goals(result.record.goals)


@click.command()
@options.pipeline
@click.option("-o", "--out", type=options.FOLDER, help="Folder for the results. [default: out/NAME]")
@click.option("--photos", type=options.Integer(1, 500), default=32, show_default=True, help="Calibration photos.")
def sensitivity(
    pipeline: str,
    out: Path | None,
    photos: int,
    cache: Path | None,
    overrides: tuple[str, ...],
    seed: int | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Measure the divergence from compressing each layer alone.

    Each layer of PIPELINE's network is pruned, then shared, at several strengths. Training stages before the first
    compression run first. Writes sensitivity.html and sensitivity.json.

    Example: squeeze-compress sensitivity squeezenet
    """
    spec = options.read_pipeline(pipeline, overrides, seed)  # before the slow imports
    from compress.pipeline.inputs import load_inputs  # noqa: PLC0415
    from compress.pipeline.runner import CACHE  # noqa: PLC0415
    from compress.search.search_pages import write_scan  # noqa: PLC0415
    from compress.search.sensitivity import scan  # noqa: PLC0415

    folder = out or Path("out") / spec.name
    cache = cache or folder / CACHE
    result = scan(spec, load_inputs(spec, cache, device, console.progress), photos)
    page = write_scan(result, folder)
    if as_json:
        click.echo(result.to_json(), nl=False)
        return
    rows = [
        (layer.name.removesuffix(".weight"), f"{layer.weights:,}", *map(_nats, layer.divergences))
        for layer in result.layers
    ]
    rows.append(("all layers at once", "", *map(_nats, result.all_layers)))
    console.show_table(("layer", "weights", *(setting.label for setting in result.settings)), rows)
    console.say("KL divergence in nats if this layer alone is compressed, without retraining")
    console.say(f"page: {page}")


def _check_installed() -> None:
    try:
        import optuna  # noqa: F401, PLC0415
        import sqlalchemy  # noqa: F401, PLC0415
    except ImportError as error:
        raise ConfigError(
            f"search needs a package that cannot be imported ({error}); in a clone of squeeze-compress: "
            "pip install '.[search]'"
        ) from error


def _nats(divergence: float) -> str:
    return f"{divergence:.3g}"


def _show_trial(trial: TrialRecord) -> None:
    from compress.report.formatting import points, to_ascii  # noqa: PLC0415

    parts = [f"trial {trial.number}, {trial.state}" + (f" ({trial.reason})" if trial.reason else "")]
    if trial.file_bytes is not None:
        parts.append(f"{trial.file_bytes:,} bytes")
    if trial.divergence_nats is not None:
        parts.append(f"KL {trial.divergence_nats:.4g} on {trial.photos:,} photos")
    if trial.top1_drop is not None:
        parts.append(f"top-1 {to_ascii(points(-trial.top1_drop))}")
    console.note(f"{', '.join(parts)}: {_values(trial)}")


def _values(trial: TrialRecord) -> str:
    return ", ".join(f"{key}={value}" for key, value in trial.values.items())
