"""The commands on what runs keep for the next ones; part of the command line."""

from __future__ import annotations

from pathlib import Path

import click

from compress.cli import console
from compress.cli.param_types import Number


@click.group()
def cache() -> None:
    """See what runs keep for the next ones, and remove it."""


_caches_argument = click.argument(
    "folders", nargs=-1, type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="[FOLDER]..."
)


@cache.command("list")
@_caches_argument
def list_cache(folders: tuple[Path, ...]) -> None:
    """List what is in caches: FOLDERs, or those in ./out."""
    from compress.pipeline.cache_listing import caches, entries  # noqa: PLC0415

    for folder in folders or tuple(caches(Path("out"))):
        console.show_cache(folder, entries(folder))


@cache.command("clean")
@_caches_argument
@click.option("--older-than", type=Number(min=0), default=0.0, metavar="DAYS", help="Only what is so old. [all]")
def clean_cache(folders: tuple[Path, ...], older_than: float) -> None:
    """Remove what is in caches: FOLDERs, or those in ./out. Other files in them stay."""
    from compress.pipeline.cache_listing import caches, clean  # noqa: PLC0415

    for folder in folders or tuple(caches(Path("out"))):
        removed = clean(folder, older_than * 86_400)
        console.say(f"{folder}: removed {sum(entry.file_bytes for entry in removed):,} bytes")
