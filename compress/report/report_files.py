"""A report on disk: `report.json`, `report.html`, and two files with what belongs to single photos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydantic import TypeAdapter, ValidationError

from compress.errors import FormatError
from compress.evaluation.results import PhotoOutcomes
from compress.report.html import to_html
from compress.report.record import RunRecord, StageRecord
from compress.report.report_json import check_numbers, from_json, to_json
from compress.runtime.atomic_files import write_files_atomically

THUMBNAILS, OUTCOMES = "thumbnails.json", "outcomes.json"
PHOTO_FILES = (THUMBNAILS, OUTCOMES)
REPORT_FILES = ("report.json", "report.html", *PHOTO_FILES)

_THUMBNAILS = TypeAdapter(dict[str, str])
_OUTCOMES = TypeAdapter(PhotoOutcomes)

_ROUNDING = 1e-3
"""Largest relative difference of a mean from the mean of numbers of four significant digits."""

Content = TypeVar("Content")


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
    text, page = to_json(replace(_with_thumbnails(record, {}), outcomes=None)), to_html(record)
    files = {**(described or {}), "report.json": text.encode(), "report.html": page.encode()}
    if thumbnails := {photo.photo: photo.thumbnail for photo in record.changed_photos or ()}:
        files[THUMBNAILS] = _THUMBNAILS.dump_json(thumbnails)
    if record.outcomes:
        check_numbers(record.outcomes, OUTCOMES)
        files[OUTCOMES] = _OUTCOMES.dump_json(record.outcomes)
    write_files_atomically(folder, files)
    for name in PHOTO_FILES:
        if name not in files:
            (folder / name).unlink(missing_ok=True)
    return folder / "report.html"


def read_report(file: Path) -> RunRecord:
    """Read a `report.json`, with the content of the files beside it.

    Raises:
        FormatError: one of the files is damaged, or the report has another version.
        OSError: the report cannot be read.
    """
    try:
        record = from_json(file.read_text("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise FormatError("the report is not UTF-8", expected="a report.json") from error
    thumbnails = _read_beside(file, THUMBNAILS, _THUMBNAILS, "photos have no picture")
    return replace(_with_thumbnails(record, thumbnails or {}), outcomes=_read_outcomes(file, record))


def _read_outcomes(file: Path, record: RunRecord) -> PhotoOutcomes | None:
    remedy = "there are no paired statistics"
    outcomes = _read_beside(file, OUTCOMES, _OUTCOMES, remedy)
    if outcomes:
        check_numbers(outcomes, OUTCOMES)
        photos = record.stages[-1].fidelity.photos
        if len(outcomes.top1_classes) != photos:
            raise FormatError(
                f"{OUTCOMES} beside the report has {len(outcomes.top1_classes):,} photos; without it, {remedy}",
                expected=f"the report's {photos:,} photos",
            )
        if not _are_of(outcomes, record.stages[-1]):
            raise FormatError(
                f"{OUTCOMES} beside the report is of another run: its accuracy or divergence is not the report's; "
                f"without it, {remedy}"
            )
    return outcomes


def _are_of(outcomes: PhotoOutcomes, last: StageRecord) -> bool:
    """Return whether the results on single photos have the accuracy and the divergence of the last stage."""
    if (outcomes.label_ranks is None) != (last.accuracy is None):
        return False
    if outcomes.label_ranks is not None and last.accuracy is not None:
        ranks = np.array(outcomes.label_ranks)
        correct = (ranks == 1).mean(), (ranks > 0).mean()
        if not np.allclose(correct, (last.accuracy.top1.value, last.accuracy.top5.value), 0, 1e-9):
            return False
    divergence = last.fidelity.divergence_nats
    mean = np.mean(outcomes.divergences_nats)
    return divergence is not None and bool(np.isclose(mean, divergence.value, _ROUNDING, 1e-12))


def _read_beside(file: Path, name: str, adapter: TypeAdapter[Content], loss: str) -> Content | None:
    """Return the content of a file beside the report, or None if it is missing."""
    try:
        return adapter.validate_json(file.with_name(name).read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise FormatError(f"{name} beside the report is damaged; without it, {loss}") from error


def _with_thumbnails(record: RunRecord, thumbnails: Mapping[str, str]) -> RunRecord:
    """Return the record with the thumbnail of each photo by its name, or none."""
    if not record.changed_photos:
        return record
    photos = tuple(replace(photo, thumbnail=thumbnails.get(photo.photo, "")) for photo in record.changed_photos)
    return replace(record, changed_photos=photos)
