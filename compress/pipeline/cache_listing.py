"""What is in a cache, and how to make it smaller: only files that the program itself wrote are looked at."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_HASH = r"[0-9a-f]{32,64}"
_KINDS = {
    rf"{_HASH}\.(npy|json)": "decoded photos",
    rf"statistics-{_HASH}\.npz": "statistics",
    rf"sensitivity-{_HASH}\.json": "sensitivity",
    rf"stage-{_HASH}\.(sqz|origin\.sqz|json)": "stage",
    rf"\w+-{_HASH}\.(state|data)": "interrupted stage",
    r"\..+\.tmp": "unfinished file",
}
_ABANDONED_SECONDS = 86_400
"""Age from which an unfinished file is no longer one that a run beside this one is writing."""


@dataclass(frozen=True)
class Entry:
    """Files that belong together.

    Attributes:
        kind: what they are: decoded photos, statistics, a stage...
        about: which stage; empty for others.
        files: they.
        file_bytes: of all.
        age_seconds: since the newest was written.
    """

    kind: str
    about: str
    files: tuple[Path, ...]
    file_bytes: int
    age_seconds: float


def entries(folder: Path) -> list[Entry]:
    """Return what is in a cache, the largest first; other files that are there are left out."""
    together: dict[tuple[str, str], list[Path]] = {}
    for file in folder.iterdir():
        if file.is_file() and (kind := _kind(file.name)):
            together.setdefault((kind, file.stem.removesuffix(".origin")), []).append(file)
    found = [_entry(kind, files) for (kind, _), files in together.items()]
    return sorted(found, key=lambda entry: (-entry.file_bytes, entry.files))


def caches(out: Path) -> Iterator[Path]:
    """Return the caches in a folder of results: its own, and those of the runs in it."""
    for folder in (out, *sorted(out.iterdir())) if out.is_dir() else ():
        if (folder / "cache").is_dir():
            yield folder / "cache"


def clean(folder: Path, older_than_seconds: float = 0) -> list[Entry]:
    """Remove from a cache what is at least so old, and return it.

    A run that is going on loses nothing but time: what it has opened stays open, what it misses it makes again.
    """
    removed = []
    for entry in entries(folder):
        least = max(older_than_seconds, _ABANDONED_SECONDS if entry.kind == "unfinished file" else 0)
        if entry.age_seconds >= least:
            for file in entry.files:
                file.unlink(missing_ok=True)
            removed.append(entry)
    return removed


def _kind(name: str) -> str | None:
    return next((kind for pattern, kind in _KINDS.items() if re.fullmatch(pattern, name)), None)


def _entry(kind: str, files: list[Path]) -> Entry:
    found = [(file, file.stat()) for file in sorted(files)]
    newest = max(status.st_mtime for _, status in found)
    about = _stage_of(files) if kind == "stage" else ""
    return Entry(
        kind,
        about,
        tuple(file for file, _ in found),
        sum(status.st_size for _, status in found),
        max(0.0, time.time() - newest),
    )


def _stage_of(files: list[Path]) -> str:
    for file in files:
        if file.suffix == ".json":
            try:
                return str(json.loads(file.read_text("utf-8"))["stage"])
            except (OSError, ValueError, KeyError):
                break
    return ""
