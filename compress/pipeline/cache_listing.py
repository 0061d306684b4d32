"""The entries of a cache folder: list them, remove them. Files that the program did not write are ignored."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

_HASH = r"[0-9a-f]{32,64}"
_KINDS = {
    r"[0-9a-f]{64}\.(npy|json)": "decoded photos",
    rf"statistics-{_HASH}\.npz": "statistics",
    rf"stage-{_HASH}\.(sqz|reference\.sqz|json)": "stage",
    rf"\w+-{_HASH}\.(state|data)": "interrupted stage",
    r"\..+\.[0-9a-f]{16}\.tmp": "unfinished file",
}
_ABANDONED_SECONDS = 86_400
"""Age of an unfinished file from which no running process can still be writing it."""


@dataclass(frozen=True)
class CacheEntry:
    """Files of the cache that belong together.

    Attributes:
        kind: `decoded photos`, `statistics`, `stage`...
        stage: name of the stage; empty for other kinds.
        files: the paths.
        file_bytes: the sum.
        age_seconds: since the newest file was written.
    """

    kind: str
    stage: str
    files: tuple[Path, ...]
    file_bytes: int
    age_seconds: float

    def to_json(self) -> dict[str, object]:
        """Return the entry as JSON values."""
        return {**asdict(self), "files": [str(file) for file in self.files]}


def list_entries(folder: Path) -> list[CacheEntry]:
    """Return the entries of a cache, the largest first."""
    groups: dict[tuple[str, str], list[Path]] = {}
    for file in sorted(folder.iterdir()):
        kind = next((kind for pattern, kind in _KINDS.items() if re.fullmatch(pattern, file.name)), None)
        if kind and file.is_file():
            groups.setdefault((kind, file.stem.removesuffix(".reference")), []).append(file)
    entries = []
    for (kind, _), files in groups.items():
        with suppress(FileNotFoundError):  # a run may have finished or removed it
            entries.append(_entry(kind, files))
    return sorted(entries, key=lambda entry: (-entry.file_bytes, entry.files))


def caches_of(folders: Sequence[Path]) -> list[Path]:
    """Return the caches of folders: each folder, or the cache in it if it is that of a run.

    Without folders, return the caches of `out` and of the runs in it.
    """
    if folders:
        return [folder / "cache" if (folder / "cache").is_dir() else folder for folder in folders]
    out = Path("out")
    caches = (folder / "cache" for folder in (out, *sorted(out.glob("*"))))
    return [cache for cache in caches if cache.is_dir()]


def remove_entries(folder: Path, older_than_seconds: float = 0) -> list[CacheEntry]:
    """Remove and return the entries of at least this age.

    This is safe beside a run: open files stay readable, and missing entries are computed again.
    """
    removed = []
    for entry in list_entries(folder):
        min_age = max(older_than_seconds, _ABANDONED_SECONDS if entry.kind == "unfinished file" else 0)
        if entry.age_seconds >= min_age:
            for file in entry.files:
                file.unlink(missing_ok=True)
            removed.append(entry)
    return removed


def _entry(kind: str, files: list[Path]) -> CacheEntry:
    stats = [file.stat() for file in files]
    return CacheEntry(
        kind,
        _stage_name(files) if kind == "stage" else "",
        tuple(files),
        sum(each.st_size for each in stats),
        max(0.0, time.time() - max(each.st_mtime for each in stats)),
    )


def _stage_name(files: list[Path]) -> str:
    try:
        return str(json.loads(files[0].with_suffix("").with_suffix(".json").read_text("utf-8"))["stage"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
