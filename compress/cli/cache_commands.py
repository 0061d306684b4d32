"""The commands `cache list` and `cache clean`."""

from __future__ import annotations

from pathlib import Path

import click

from compress.cli import console, options

_SECONDS_PER_DAY = 86_400

_folders_argument = click.argument(
    "folders", nargs=-1, type=options.UserPath(exists=True, file_okay=False, path_type=Path), metavar="[FOLDER]..."
)


@click.group()
def cache() -> None:
    """List or remove the intermediate results of runs."""


@cache.command("list")
@_folders_argument
@options.as_json
def list_cache(folders: tuple[Path, ...], as_json: bool) -> None:
    """List the content of the cache FOLDERs, or of all caches in ./out."""
    from compress.pipeline.cache_listing import find_caches, list_entries  # noqa: PLC0415

    listed = {folder: list_entries(folder) for folder in folders or tuple(find_caches(Path("out")))}
    if as_json:
        console.say_json({str(folder): [entry.to_json() for entry in entries] for folder, entries in listed.items()})
        return
    for folder, entries in listed.items():
        console.show_cache(folder, entries)


@cache.command("clean")
@_folders_argument
@click.option(
    "--older-than",
    type=options.FiniteFloat(min=0),
    default=0.0,
    metavar="DAYS",
    help="Remove older entries only. [all]",
)
def clean_cache(folders: tuple[Path, ...], older_than: float) -> None:
    """Empty the cache FOLDERs, or all caches in ./out.

    Files that the program did not write stay.
    """
    from compress.pipeline.cache_listing import find_caches, remove_entries  # noqa: PLC0415

    for folder in folders or tuple(find_caches(Path("out"))):
        removed = remove_entries(folder, older_than * _SECONDS_PER_DAY)
        console.say(f"{folder}: removed {sum(entry.file_bytes for entry in removed):,} bytes")
