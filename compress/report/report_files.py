"""A report on disk: `report.json`, `report.html`, and `thumbnails.json` with the photos that the page shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from compress.errors import FormatError
from compress.report.html import to_html
from compress.report.record import RunRecord
from compress.report.report_json import from_json, to_json
from compress.runtime.atomic_files import write_files_atomically

THUMBNAILS = "thumbnails.json"
REPORT_FILES = ("report.json", "report.html", THUMBNAILS)
_PHOTOS = TypeAdapter(dict[str, str])
_FIRST_SCHEMA_WITH_FILE = 8
"""Earlier reports have the thumbnails inside."""


def write_report(record: RunRecord, folder: Path, described: Mapping[str, bytes] | None = None) -> Path:
    """Write the files into `folder`, and return the path of `report.html`.

    Args:
        record: of a run.
        folder: is made if it is missing.
        described: files that the report is about, by name, to be written together with it.
    Raises:
        FormatError: the record holds a value that JSON cannot, such as NaN.
        OSError: a file could not be written; the old ones are unchanged.
    """
    thumbnails = {photo.photo: photo.thumbnail for photo in record.changed_photos or ()}
    text, page = to_json(_with_thumbnails(record, {})), to_html(record)
    files = {**(described or {}), "report.json": text.encode(), "report.html": page.encode()}
    pictures = {THUMBNAILS: _PHOTOS.dump_json(thumbnails)} if thumbnails else {}
    write_files_atomically(folder, files | pictures)
    if not pictures:
        (folder / THUMBNAILS).unlink(missing_ok=True)
    return folder / "report.html"


def read_report(file: Path) -> RunRecord:
    """Read a `report.json`, with the thumbnails beside it.

    Raises:
        FormatError: one of the files is damaged, or the report has another version.
        OSError: the report cannot be read.
    """
    try:
        record = from_json(file.read_text("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise FormatError("the report is not UTF-8", expected="a report.json") from error
    thumbnails = file.with_name(THUMBNAILS)
    if record.schema_version < _FIRST_SCHEMA_WITH_FILE or not thumbnails.exists():
        return record
    try:
        return _with_thumbnails(record, _PHOTOS.validate_json(thumbnails.read_bytes()))
    except ValidationError as error:
        raise FormatError(f"{THUMBNAILS} beside the report is damaged; without it, photos have no picture") from error


def _with_thumbnails(record: RunRecord, thumbnails: Mapping[str, str]) -> RunRecord:
    """Return the record with the thumbnail of each photo by its name, or none."""
    if not record.changed_photos:
        return record
    photos = tuple(replace(photo, thumbnail=thumbnails.get(photo.photo, "")) for photo in record.changed_photos)
    return replace(record, changed_photos=photos)
