"""The user's own photos in folders and CSV files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise, repeat
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from compress.data.class_index import LabelRule, Labels, NetworkClasses
from compress.data.collect import Limit, PhotoList, PhotoSource
from compress.data.csv_labels import csv_labels
from compress.data.decoding import PhotoEntry, file_identity
from compress.data.folder_labels import folder_labels
from compress.data.listing import PHOTO_SUFFIXES, list_csv, list_folder
from compress.data.photos import Role, evenly_spread
from compress.data.transforms import is_photo, read_photo
from compress.errors import ConfigError, DataError
from compress.runtime.file_names import expand_home
from compress.runtime.option_types import OPTIONS, FilePath, KeyText

_TABLES = (".csv", ".tsv")
_REMEDIES = {
    (".zip", ".tar", ".tgz", ".gz", ".xz", ".7z", ".rar"): "; extract it, and name the folder",
    (".xlsx", ".xls", ".ods", ".parquet", ".json", ".jsonl", ".txt"): "; save it as CSV with a column path",
}
"""What to do with other files, by their suffixes."""


class _LabeledPhoto(NamedTuple):
    path: Path
    label: int | None


class _PathListing(NamedTuple):
    """The photos at a path, their labels, and the path as descriptions show it."""

    photos: Sequence[Path]
    labels: Labels | None
    place: str


@dataclass(frozen=True, config=OPTIONS)
class Folder(PhotoSource):
    """Photos in folders or CSV files.

    Subfolders are classes, see `folder_labels`. A CSV file has a column `path`, and may have a label column: `index`,
    `label`, `class`, `synset`, or as `label_column` says. Its separator may also be a semicolon or a tab.

    Attributes:
        path: a folder, a CSV file or a photo, or a list of them.
        limit: largest number of photos, evenly spread; None: all.
        max_unreadable: maximum fraction of unreadable photos, which are skipped.
        labels: `names` matches classes by their names, `order` takes their sorted names for the network's classes,
            `none` uses the photos without labels.
        label_column: of CSV files.
        balance_classes: photos count more in calibration statistics if their classes, as the float network sees them,
            are rare among the photos. Not for validation.
        validation_split: fraction of the photos, spread over the list, that validation takes and calibration leaves, so
            that both can name the same paths; None: all photos.
    """

    path: FilePath | Annotated[tuple[FilePath, ...], Field(min_length=1, description="a list of at least one path")]
    limit: Limit = None
    max_unreadable: Annotated[float, Field(ge=0, le=1)] = 0.05
    labels: LabelRule = "auto"
    label_column: KeyText | None = None
    balance_classes: bool = False
    validation_split: Annotated[float, Field(gt=0, le=0.5)] | None = None

    def list_photos(self, role: Role, classes: NetworkClasses) -> PhotoList:
        """List the photos; see `PhotoSource`."""
        paths = self.path if isinstance(self.path, tuple) else (self.path,)
        if self.balance_classes and role == "validation":
            key = f"data.{role}.balance_classes"
            raise ConfigError("validation weighs all photos equally", key=key, allowed="false")
        if self.label_column and not any(path.suffix.lower() in _TABLES for path in paths):
            problem = f"{self.label_column!r} names a column, but no path is a table"
            raise ConfigError(
                problem, key=f"data.{role}.label_column", allowed=f"with a path to {' or '.join(_TABLES)}"
            )
        listed = [self._photos(_existing(path, f"data.{role}.path"), classes, role) for path in paths]
        photos = [
            _LabeledPhoto(photo, label)
            for files, labels, _ in listed
            for photo, label in zip(files, labels.indices if labels else repeat(None), strict=False)
        ]
        places = ", ".join(each.place for each in listed)
        if not photos:
            raise DataError(f"no photos in {places}; looked for {', '.join(sorted(PHOTO_SUFFIXES))}")
        if role == "validation" and len(paths) > 1:
            _check_once(photos)
        photos = self._split(photos, role)
        labeled = _all_labeled(photos, role)
        origins = dict.fromkeys(each.labels.origin for each in listed if each.labels)
        entries = [_entry(photo, labeled) for photo in _limited(photos, self.limit)]
        how = f"labeled by {'; '.join(origins)}" if labeled else "without labels"
        class_names = _class_names(listed) if labeled else ()
        kind = f"photos from {places}{self._split_text(role)}, {how}"
        return PhotoList(entries, kind, self.max_unreadable, self.balance_classes, class_names)

    def _photos(self, path: Path, classes: NetworkClasses, role: Role) -> _PathListing:
        """Return the photos of a path, and their labels if they have some."""
        required, rule = role == "validation", self.labels if classes.count else "none"
        if path.is_dir():
            photos, _ = listing = list_folder(path)
            labels = None if rule == "none" else folder_labels(photos, path, classes, rule, required=required)
            return _PathListing([photo.path for photo in photos], labels, f"{path}{listing.ignored_text}")
        if path.suffix.lower() not in _TABLES:
            if path.suffix.lower() not in PHOTO_SUFFIXES and not is_photo(path):
                remedy = next((end for kinds, end in _REMEDIES.items() if path.suffix.lower() in kinds), "")
                raise DataError(f"{path} is neither a photo, a folder nor a table ({', '.join(_TABLES)}){remedy}")
            return _PathListing([path], None, str(path))
        paths, columns = list_csv(path)
        if rule == "none" or not paths:
            return _without_repetitions(path, paths, None)
        labels = csv_labels(path, paths, columns, classes, rule, self.label_column, required=required)
        return _without_repetitions(path, paths, labels)

    def _split_text(self, role: Role) -> str:
        if self.validation_split is None:
            return ""
        return f" ({'the' if role == 'validation' else 'without the'} validation split of {self.validation_split:.4g})"

    def _split(self, photos: list[_LabeledPhoto], role: Role) -> list[_LabeledPhoto]:
        """Return the photos of a role."""
        if self.validation_split is None:
            return photos
        if len(photos) == 1:
            raise DataError(f"{photos[0].path} is the only photo; calibration and validation need one each")
        count = max(round(len(photos) * self.validation_split), 1)
        # One of each run of photos, the same for all seeds, whose results are to be compared. At equal distances they
        # would all be of one class where classes take turns.
        ends = [each * len(photos) // count for each in range(count + 1)]
        random = np.random.default_rng(0)
        chosen = {int(random.integers(first, end)) for first, end in pairwise(ends)}
        return [photo for index, photo in enumerate(photos) if (index in chosen) == (role == "validation")]


def _existing(path: Path, key: str) -> Path:
    path = expand_home(path)
    if not path.exists():
        allowed = "a path that exists; --set data.calibration.path=PATH and --set data.validation.path=PATH name others"
        raise ConfigError(f"{path} does not exist", key=key, allowed=allowed)
    return path


def _without_repetitions(table: Path, paths: Sequence[Path], labels: Labels | None) -> _PathListing:
    """Return each photo of a table once, however its path is written.

    Raises:
        DataError: a photo has two classes.
    """
    found: dict[str, tuple[Path, int | None]] = {}
    for path, label in zip(paths, labels.indices if labels else repeat(None), strict=False):
        _, other = found.setdefault(_written_once(path), (path, label))
        if label != other:
            raise DataError(
                f"{table} gives {path} two classes, {other} and {label}; keep one row for each photo, or use the "
                "photos without labels (`labels: none`)"
            )
    unique = labels and labels._replace(indices=[label for _, label in found.values() if label is not None])
    repeated = len(paths) - len(found)
    place = f"{table} ({repeated:,} repeated rows ignored)" if repeated else str(table)
    return _PathListing([path for path, _ in found.values()], unique, place)


def _class_names(listed: Sequence[_PathListing]) -> tuple[str, ...]:
    """Return the class names of all paths; none if they differ because some paths have numbers or synsets.

    Raises:
        DataError: the order of the names was taken for the classes, and two paths have other names.
    """
    places: dict[tuple[str, ...], str] = {}
    for each in listed:
        if each.labels:
            places.setdefault(each.labels.class_names, each.place)
    ordered = [(own, place) for own, place in places.items() if own]
    if len(ordered) > 1:
        (own, place), (other, other_place), *_ = ordered
        index = next(index for index, pair in enumerate(zip(own, other, strict=True)) if pair[0] != pair[1])
        raise DataError(
            f"class {index} is {own[index]} in {place} and {other[index]} in {other_place}: their sorted names differ; "
            "give all paths the same classes, or use the photos without labels (`labels: none`)"
        )
    return next(iter(places)) if len(places) == 1 else ()


def _check_once(photos: Sequence[_LabeledPhoto]) -> None:
    """Check that no photo of validation is in two of the paths.

    Raises:
        DataError: one is.
    """
    (path, count), *_ = Counter(_written_once(photo.path) for photo in photos).most_common(1)
    if count > 1:
        raise DataError(f"{path} is in several paths of data.validation, and would count {count} times; name it once")


def _written_once(path: Path) -> str:
    """Return a path without `..`, and from the root; links stay."""
    return os.path.abspath(path)  # noqa: PTH100  a Path for each is slow


def _limited(photos: Sequence[_LabeledPhoto], limit: int | None) -> list[_LabeledPhoto]:
    """Return at most `limit` photos, evenly spread over the classes; the rows of a table may be in any order."""
    by_class = sorted(range(len(photos)), key=lambda index: photos[index].label or 0)
    return [photos[index] for index in sorted(evenly_spread(by_class, limit))]


def _all_labeled(photos: Sequence[_LabeledPhoto], role: Role) -> bool:
    """Return whether all photos have labels. Photos for calibration may lack some: then none is used."""
    unlabeled = next((photo for photo in photos if photo.label is None), None)
    if role == "validation" and unlabeled and any(photo.label is not None for photo in photos):
        raise DataError(
            f"{unlabeled.path} has no label, but other photos have one; give labels to all photos, or use the photos"
            " without labels (`labels: none`)"
        )
    return unlabeled is None


def _entry(photo: _LabeledPhoto, labeled: bool) -> PhotoEntry:
    label = photo.label if labeled else None
    return PhotoEntry(str(photo.path), file_identity(photo.path), lambda: read_photo(photo.path), label)
