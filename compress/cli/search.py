"""The commands `search` and `sensitivity`: parse, call, print."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from compress.cli import console
from compress.cli.param_types import FileBytes, Number, device_option
from compress.errors import ConfigError

if TYPE_CHECKING:
    from compress.pipeline import Pipeline
    from compress.search.record import TrialRecord

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("pipeline", default="pipeline.yaml")
@click.option("--bytes", "most_bytes", type=FileBytes(), metavar="BYTES", help="Most bytes of the file: 400kB.")
@click.option("--max-drop", type=Number(0, 100), help="Most points of top-1 to lose. Alone: the smallest file within.")
@click.option("--trials", type=click.IntRange(1), default=30, show_default=True, help="In all, on all machines.")
@click.option("--minutes", type=Number(0), help="Begin no trial later than that.")
@click.option("--study", help="File or database URL of the trials; machines may share it. [OUT/study.journal]")
@click.option("--out", type=_FOLDER, help="Folder of the results. [out/NAME-search]")
@click.option("--cache", type=_FOLDER, help="Folder of what runs share. [OUT/cache]")
@click.option("--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Replace a value of the pipeline.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Replace the pipeline's seed.")
@device_option
def search(
    pipeline: str,
    most_bytes: int | None,
    max_drop: float | None,
    trials: int,
    minutes: float | None,
    study: str | None,
    out: Path | None,
    cache: Path | None,
    overrides: tuple[str, ...],
    seed: int | None,
    device: str | None,
) -> None:
    """Search for the best values of what PIPELINE marks as searchable, and run the winner.

    With --bytes the file closest to the float network within them, with --max-drop alone the smallest within the drop;
    without either, what the pipeline's own goal says. Stopped and called again, or called on other machines with the
    same --study, it goes on.

    Exit codes: 0 done, 1 failed, 2 bad configuration, 3 no trial meets the limits.
    """
    _check_installed()
    from compress.report.goals import check_met  # noqa: PLC0415
    from compress.search.search import Limits  # noqa: PLC0415
    from compress.search.search import search as search_for  # noqa: PLC0415

    spec = _read(pipeline, overrides, seed)
    found = search_for(
        spec,
        Limits(most_bytes, max_drop),
        out or Path("out") / f"{spec.name}-search",
        trials=trials,
        minutes=minutes,
        study=study,
        cache=cache,
        command=_command(),
        device=device,
        progress=console.progress,
        tell=_tell,
    )
    console.show_result(found.result)
    winner = found.record.trial(found.record.winner)
    console.say(f"winner: {found.winner_path}, trial {winner.number} of {len(found.record.trials)}: {_values(winner)}")
    console.say(f"search: {found.page_path}")
    if found.running:
        console.say(
            f"{found.running} trials are still running, here or elsewhere; the same command takes them in later"
        )
    check_met(found.result.record.goals)


@click.command()
@click.argument("pipeline", default="pipeline.yaml")
@click.option("--photos", type=click.IntRange(1, 500), default=32, show_default=True, help="Calibration photos.")
@click.option("--out", type=_FOLDER, help="Folder of the results. [out/NAME]")
@click.option("--cache", type=_FOLDER, help="Folder of what runs share. [OUT/cache]")
@click.option("--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Replace a value of the pipeline.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Replace the pipeline's seed.")
@device_option
def sensitivity(
    pipeline: str,
    photos: int,
    out: Path | None,
    cache: Path | None,
    overrides: tuple[str, ...],
    seed: int | None,
    device: str | None,
) -> None:
    """Show how much each layer of PIPELINE's network minds being pruned and shared, each by itself.

    What PIPELINE trains before it compresses anything is trained first. Writes sensitivity.html and sensitivity.json.
    """
    from compress.pipeline.run import CACHE  # noqa: PLC0415
    from compress.pipeline.stages import prepare  # noqa: PLC0415
    from compress.search.page import write_scan  # noqa: PLC0415
    from compress.search.sensitivity import scan  # noqa: PLC0415

    spec = _read(pipeline, overrides, seed)
    folder = out or Path("out") / spec.name
    store = cache or folder / CACHE
    found = scan(spec, prepare(spec, store, device, console.progress), store, photos)
    console.show_table(
        ("layer", "weights", *(setting.words for setting in found.settings)),
        [
            (layer.name.removesuffix(".weight"), f"{layer.weights:,}", *map(_nats, layer.divergences))
            for layer in found.layers
        ]
        + [("all at once", "", *map(_nats, found.together))],
    )
    console.say("KL divergence, nats, where that layer alone is compressed; nothing is trained after it")
    console.say(f"page: {write_scan(found, folder)}")


def _read(pipeline: str, overrides: tuple[str, ...], seed: int | None) -> Pipeline:
    from compress.builtin_pipelines import find_pipeline  # noqa: PLC0415
    from compress.pipeline import read_pipeline  # noqa: PLC0415

    return read_pipeline(find_pipeline(pipeline), overrides if seed is None else (*overrides, f"seed={seed}"))


def _check_installed() -> None:
    try:
        import optuna  # noqa: F401, PLC0415
        import sqlalchemy  # noqa: F401, PLC0415
    except ImportError as error:
        raise ConfigError(
            f"search needs a package that cannot be imported ({error}); pip install 'squeeze-compress[search]'"
        ) from error


def _command() -> str:
    """Return the command line as it was given, but for a password in the study's URL."""
    from compress.search.storage import shown  # noqa: PLC0415

    return shlex.join(["squeeze-compress", *(shown(word) for word in sys.argv[1:])])


def _nats(divergence: float) -> str:
    return f"{divergence:.3g}"


def _tell(trial: TrialRecord) -> None:
    """Print a trial that is done."""
    from compress.report.formatting import plain, points  # noqa: PLC0415

    told = [f"trial {trial.number}, {trial.state}" + (f" ({trial.reason})" if trial.reason else "")]
    if trial.file_bytes is not None:
        told.append(f"{trial.file_bytes:,} bytes")
    if trial.divergence_nats is not None:
        told.append(f"KL {trial.divergence_nats:.4g} on {trial.photos:,} photos")
    if trial.top1_lost is not None:
        told.append(f"top-1 {plain(points(-trial.top1_lost))}")
    console.note(f"{', '.join(told)}: {_values(trial)}")


def _values(trial: TrialRecord) -> str:
    return ", ".join(f"{key}={value}" for key, value in trial.values.items())
