"""The user's own photos in folders and CSV files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from compress.data.class_index import class_indices, read_synsets
from compress.data.collect import Limit, PhotoList, PhotoSource
from compress.data.decoding import PhotoEntry, file_identity
from compress.data.listing import PHOTO_SUFFIXES, ListedPhoto, list_csv, list_folder
from compress.data.photos import Role, evenly_spread
from compress.data.transforms import read_photo
from compress.errors import ConfigError, DataError


class _LabeledPhoto(NamedTuple):
    path: Path
    label: int | None
    weight: float


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Folder(PhotoSource):
    """Photos in folders or CSV files.

    Subfolders are classes, named by index or synset, or in sorted order if there are as many as the network has
    classes; otherwise the photos have no labels. A CSV file has a column `path`, and may have a label column: `index`,
    `label`, `class` or `synset`.

    Attributes:
        path: a folder, a CSV file or a photo, or a list of them.
        limit: largest number of photos, evenly spread; None: all.
        max_unreadable: maximum fraction of unreadable photos, which are skipped.
        labels: `none` uses the photos without labels.
        synsets: CSV file with columns `index` and `synset`; None: ImageNet's, if the network has 1,000 classes.
        sample_weights: weight of each path's photos in calibration statistics; None: equal. Not for validation.
    """

    path: Path | tuple[Path, ...]
    limit: Limit = None
    max_unreadable: Annotated[float, Field(ge=0, le=1)] = 0.05
    labels: Literal["auto", "none"] = "auto"
    synsets: Path | None = None
    sample_weights: tuple[Annotated[float, Field(ge=0.001, le=1000)], ...] | None = None

    def list_photos(self, role: Role, classes: int) -> PhotoList:
        """List the photos; see `PhotoSource`."""
        paths = self.path if isinstance(self.path, tuple) else (self.path,)
        weights = self._weights(len(paths), role)
        synsets = None if self.synsets is None else read_synsets(_existing(self.synsets, f"data.{role}.synsets"))
        photos = [
            _LabeledPhoto(photo, label, weight)
            for path, weight in zip(paths, weights, strict=True)
            for photo, label in self._photos(_existing(path, f"data.{role}.path"), classes, synsets)
        ]
        places = ", ".join(map(str, paths))
        if not photos:
            raise DataError(f"no photos in {places}; looked for {', '.join(sorted(PHOTO_SUFFIXES))}")
        labeled = _all_labeled(photos, role)
        entries = [_entry(photo, labeled) for photo in evenly_spread(photos, self.limit)]
        kind = f"photos from {places}, {'labeled' if labeled else 'without labels'}"
        return PhotoList(entries, kind, self.max_unreadable)

    def _photos(self, path: Path, classes: int, synsets: Mapping[str, int] | None) -> Iterable[tuple[Path, int | None]]:
        folder = path if path.is_dir() else None
        if folder:
            listed = list_folder(path)
        elif path.suffix.lower() == ".csv":
            listed = list_csv(path)
        else:
            listed = [ListedPhoto(path, None)]
        labels = class_indices(listed, classes, synsets, folder) if self.labels == "auto" else None
        return zip((photo.path for photo in listed), labels or repeat(None), strict=False)

    def _weights(self, paths: int, role: Role) -> tuple[float, ...]:
        key = f"data.{role}.sample_weights"
        if self.sample_weights is not None and role == "validation":
            raise ConfigError("validation weighs all photos equally", key=key, allowed="nothing; leave it out")
        if self.sample_weights is None or paths == 1:  # the photos of one path have equal weights
            return (1.0,) * paths
        if len(self.sample_weights) != paths:
            problem = f"{len(self.sample_weights)} weights for {paths} paths"
            raise ConfigError(problem, key=key, allowed="one weight for each path")
        return self.sample_weights


def _existing(path: Path, key: str) -> Path:
    path = path.expanduser()
    if not path.exists():
        raise ConfigError(f"{path} does not exist", key=key, allowed="a path that exists")
    return path


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
    return PhotoEntry(str(photo.path), file_identity(photo.path), lambda: read_photo(photo.path), label, photo.weight)
