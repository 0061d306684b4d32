"""Photos as folders and CSV files list them."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from compress.errors import DataError

PHOTO_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .webp .bmp .gif .tif .tiff .ppm .pgm".split()  # noqa: SIM905  reads better
)
LABEL_COLUMNS = ("index", "label", "class", "synset")
"""Columns that say a photo's class; where there are several, the first of these counts."""


class Listed(NamedTuple):
    """A photo and what its list calls its class: a number, a synset, any name; None where it says nothing."""

    path: Path
    class_name: str | None


def folder_photos(folder: Path) -> list[Listed]:
    """List a folder and all below it, in sorted order; hidden files are left out.

    The class name is the folder just below `folder` that a photo is in, or None for those in `folder` itself.

    Raises:
        DataError: a folder cannot be read.
    """
    try:
        paths = list(_walk(str(folder), frozenset()))
    except OSError as error:
        raise DataError(f"cannot read the folder {error.filename}: {error.strerror}") from error
    return [Listed(path, _class_folder(path.relative_to(folder))) for path in map(Path, paths)]


def _class_folder(path: Path) -> str | None:
    return path.parts[0] if len(path.parts) > 1 else None


def _walk(folder: str, above: frozenset[str]) -> Iterator[str]:
    """Yield photos; links to folders are followed, save to one that this walk is in already."""
    here = os.path.realpath(folder)
    if here in above:
        return
    with os.scandir(folder) as found:
        entries = sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and Path(entry.path).is_dir()):
            yield from _walk(entry.path, above | {here})
        elif os.path.splitext(entry.name)[1].lower() in PHOTO_SUFFIXES:  # noqa: PTH122  a Path each is slow
            yield entry.path


def csv_photos(file: Path) -> list[Listed]:
    """List the photos of a CSV file with a column `path` and, where they are labelled, one of `LABEL_COLUMNS`.

    Paths are relative to the file's folder, or to the folder beside it that has its name without the suffix.

    Raises:
        DataError: it is no such CSV file.
    """
    rows = csv_rows(file)
    columns = list(rows[0]) if rows else []
    if rows and "path" not in columns:
        raise DataError(f"{file} has no column 'path'; it has {', '.join(columns)}")
    label_column = next((column for column in LABEL_COLUMNS if column in columns), None)
    return [
        Listed(_locate(Path(row["path"]), file), row[label_column].strip() if label_column else None) for row in rows
    ]


def _locate(path: Path, file: Path) -> Path:
    beside = file.with_suffix("") / path
    return beside if beside.is_file() else file.parent / path


def csv_rows(file: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file by column, the columns in lower case.

    Raises:
        DataError: not UTF-8, not CSV, or a row with more or fewer cells than the first.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            columns = [column.strip().lower() for column in next(reader, [])]
            rows = []
            for cells in filter(None, reader):
                if len(cells) != len(columns):
                    raise DataError(f"{file}, line {reader.line_num}: {len(cells)} cells, not {len(columns)}")
                rows.append(dict(zip(columns, cells, strict=True)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {file} as CSV in UTF-8: {error}") from error
    return rows
