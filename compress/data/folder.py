"""The user's own photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from compress.data.class_index import csv_labels, folder_labels, read_synsets
from compress.data.collect import collect
from compress.data.decoding import Entry, Progress
from compress.data.listing import PHOTO_SUFFIXES, csv_photos, folder_photos
from compress.data.photos import Photos, Role
from compress.data.transforms import read_photo
from compress.errors import ConfigError, DataError
from compress.model import Preprocessing


class _Labelled(NamedTuple):
    path: Path
    label: int | None
    weight: float = 1.0


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Folder:
    """Photos in folders, or listed in CSV files.

    A folder's subfolders are classes, called by index or synset, or all there are in sorted order; or it holds
    photos without labels. A CSV file has a column `path` and may have a label: `index`, `label`, `class` or `synset`.

    Attributes:
        path: a folder, a CSV file or a photo; or several of them, taken together.
        limit: at most this many photos, spread evenly over all; None for all.
        max_unreadable: fraction of the photos that may be skipped because they cannot be read.
        labels: `none` uses the photos without labels.
        synsets: CSV file with columns `index` and `synset`; None for ImageNet's 1,000 where the network has as many.
        sample_weights: of each path, how much each of its photos counts in the statistics of what errors cost; None
            for all alike, as those of one path are. For calibration alone.
    """

    path: Path | tuple[Path, ...]
    limit: Annotated[int, Field(ge=1, strict=True)] | None = None
    max_unreadable: Annotated[float, Field(ge=0, le=1)] = 0.05
    labels: Literal["auto", "none"] = "auto"
    synsets: Path | None = None
    sample_weights: tuple[Annotated[float, Field(ge=0.001, le=1000)], ...] | None = None

    def load(
        self,
        preprocessing: Preprocessing,
        role: Role,
        *,
        classes: int,
        store: Path | None = None,
        progress: Progress | None = None,
    ) -> Photos:
        """Read the photos; see `compress.data.sources.Source`."""
        paths = self.path if isinstance(self.path, tuple) else (self.path,)
        synsets = None if self.synsets is None else read_synsets(_existing(self.synsets, f"data.{role}.synsets"))
        photos = [
            photo._replace(weight=weight)
            for path, weight in zip(paths, self._weights(len(paths), role), strict=True)
            for photo in _photos(_existing(path, f"data.{role}.path"), self.labels, classes, synsets)
        ]
        places = ", ".join(map(str, paths))
        if not photos:
            raise DataError(f"no photos in {places}; looked for {', '.join(sorted(PHOTO_SUFFIXES))}")
        labelled = _all_labelled(photos, role)
        entries = [_entry(photo if labelled else photo._replace(label=None)) for photo in _spread(photos, self.limit)]
        kind = f"photos from {places}, {'labelled' if labelled else 'without labels'}"
        return collect(entries, kind, preprocessing, max_unreadable=self.max_unreadable, store=store, progress=progress)

    def _weights(self, paths: int, role: Role) -> tuple[float, ...]:
        key = f"data.{role}.sample_weights"
        if self.sample_weights is not None and role == "validation":
            raise ConfigError("photos of the validation count alike", key=key, allowed="nothing; leave it out")
        if self.sample_weights is None or paths == 1:  # beside nothing else photos count alike
            return (1.0,) * paths
        if len(self.sample_weights) != paths:
            problem = f"{len(self.sample_weights)} numbers for {paths} paths"
            raise ConfigError(problem, key=key, allowed="a number for each path")
        return self.sample_weights


def _existing(path: Path, key: str) -> Path:
    path = path.expanduser()
    if not path.exists():
        raise ConfigError(f"there is no {path}", key=key, allowed="a path that exists")
    return path


def _photos(path: Path, labels: str, classes: int, synsets: Mapping[str, int] | None) -> list[_Labelled]:
    if path.is_dir():
        listed = folder_photos(path)
        indices = folder_labels(listed, path, classes, synsets) if labels == "auto" else None
    elif path.suffix.lower() == ".csv":
        listed = csv_photos(path)
        indices = csv_labels(listed, classes, synsets) if labels == "auto" else None
    else:
        return [_Labelled(path, None)]
    if indices is None:
        return [_Labelled(photo.path, None) for photo in listed]
    return [_Labelled(photo.path, index) for photo, index in zip(listed, indices, strict=True)]


def _all_labelled(photos: Sequence[_Labelled], role: Role) -> bool:
    """Say whether labels can be used; calibration needs none, so some without are no reason to stop there."""
    unlabelled = next((photo for photo in photos if photo.label is None), None)
    if role == "validation" and unlabelled and any(photo.label is not None for photo in photos):
        raise DataError(
            f"{unlabelled.path} has no label, others have; give paths that all have labels, or use the photos without"
            " labels (`labels: none`)"
        )
    return unlabelled is None


def _spread(photos: Sequence[_Labelled], limit: int | None) -> list[_Labelled]:
    kept = len(photos) if limit is None else min(limit, len(photos))
    return [photos[n * len(photos) // kept] for n in range(kept)]


def _entry(photo: _Labelled) -> Entry:
    try:
        status = photo.path.stat()
        state = (status.st_size, status.st_mtime_ns)
    except OSError:  # reading it will fail too, and say why
        state = (-1, -1)
    identity = (str(photo.path.absolute()), *state)
    return Entry(str(photo.path), identity, lambda: read_photo(photo.path), photo.label, photo.weight)
