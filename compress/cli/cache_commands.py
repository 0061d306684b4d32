"""The commands `cache list` and `cache clean`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from compress.cli import console, options

if TYPE_CHECKING:
    from compress.pipeline.cache_listing import CacheEntry

_SECONDS_PER_DAY = 86_400

_folders_argument = click.argument(
    "folders", nargs=-1, type=options.UserPath(exists=True, file_okay=False, path_type=Path), metavar="[FOLDER]..."
)


@click.group(cls=options.Group)
def cache() -> None:
    """List or remove the intermediate results of runs."""


@cache.command("list")
@_folders_argument
@options.as_json
def list_cache(folders: tuple[Path, ...], as_json: bool) -> None:
    """List the content of the cache FOLDERs, or of all caches in ./out.

    The folder of a run stands for the cache in it.

    Example: squeeze-compress cache list out/squeezenet/cache
    """
    from compress.pipeline.cache_listing import caches_of, list_entries  # noqa: PLC0415

    listed = {folder: list_entries(folder) for folder in caches_of(folders)}
    if as_json:
        _say_entries(listed)
        return
    for folder, entries in listed.items():
        _show_cache(folder, entries)


@cache.command("clean")
@_folders_argument
@click.option(
    "--older-than",
    type=options.FiniteFloat(min=0),
    default=0.0,
    metavar="DAYS",
    help="Remove older entries only. [default: all]",
)
@options.as_json
def clean_cache(folders: tuple[Path, ...], older_than: float, as_json: bool) -> None:
    """Empty the cache FOLDERs, or all caches in ./out.

    The folder of a run stands for the cache in it. Files that the program did not write stay. With --json, the removed
    entries are printed.

    Example: squeeze-compress cache clean --older-than 30
    """
    from compress.pipeline.cache_listing import caches_of, remove_entries  # noqa: PLC0415

    seconds = older_than * _SECONDS_PER_DAY
    removed = {folder: remove_entries(folder, seconds) for folder in caches_of(folders)}
    if as_json:
        _say_entries(removed)
        return
    for folder, entries in removed.items():
        console.say(f"{folder}: removed {sum(entry.file_bytes for entry in entries):,} bytes")


def _say_entries(entries: Mapping[Path, Sequence[CacheEntry]]) -> None:
    console.say_json({str(folder): [entry.to_json() for entry in found] for folder, found in entries.items()})


def _show_cache(folder: Path, entries: Sequence[CacheEntry]) -> None:
    console.say(f"{folder}: {sum(entry.file_bytes for entry in entries):,} bytes")
    rows = [
        (entry.kind, entry.stage, f"{entry.age_seconds / _SECONDS_PER_DAY:.1f} days ago", f"{entry.file_bytes:,}")
        for entry in entries
    ]
    if rows:
        console.show_table(("kind", "stage", "written", "bytes"), rows, text_columns=3)
