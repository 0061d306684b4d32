"""MNIST and the sets that are made like it: four idx files in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from compress.data.collect import collect
from compress.data.decoding import Entry, Progress
from compress.data.idx_file import read_idx
from compress.data.photos import Photos, Role
from compress.errors import ConfigError, DataError
from compress.model import Preprocessing

_PARTS: Mapping[Role, str] = {"calibration": "train", "validation": "t10k"}

_LARGEST_SIDE = 4096
"""Pixels; an image that says it is larger is no photo."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Idx:
    """Grey images in a folder of idx files, gzipped or not, under the names that MNIST's have.

    `train-images-idx3-ubyte` and `train-labels-idx1-ubyte` are for calibration, `t10k-...` for validation.

    Attributes:
        path: the folder.
        limit: at most this many images, spread evenly over all; None for all.
        labels: `none` uses the images without labels.
    """

    path: Path
    limit: Annotated[int, Field(ge=1, strict=True)] | None = None
    labels: Literal["auto", "none"] = "auto"

    def load(
        self,
        preprocessing: Preprocessing,
        role: Role,
        *,
        classes: int,
        store: Path | None = None,
        progress: Progress | None = None,
    ) -> Photos:
        """Read the images; see `compress.data.sources.Source`."""
        folder, part = self.path.expanduser(), _PARTS[role]
        file = _existing(folder, f"{part}-images", 3, role)
        images = read_idx(file, 3)
        if max(images.shape[1:]) > _LARGEST_SIDE:
            raise DataError(
                f"{file}: its images are {images.shape[1]:,} x {images.shape[2]:,} pixels (allowed: up to"
                f" {_LARGEST_SIDE:,} a side)"
            )
        labels = None
        if self.labels == "auto":
            labels = _labels(_existing(folder, f"{part}-labels", 1, role), len(images), classes)
        kept = len(images) if self.limit is None else min(self.limit, len(images))
        status = file.stat()
        identity = str(file.absolute()), status.st_size, status.st_mtime_ns
        entries = [_entry(file.name, identity, images, labels, n * len(images) // kept) for n in range(kept)]
        kind = f"images from {file}, {'without labels' if labels is None else 'labelled'}"
        return collect(entries, kind, preprocessing, store=store, progress=progress)


def has_idx_files(folder: Path) -> bool:
    """Return whether a folder has the images to validate with in an idx file."""
    return _found(folder, f"{_PARTS['validation']}-images", 3) is not None


def _found(folder: Path, name: str, dimensions: int) -> Path | None:
    names = (f"{name}{dot}idx{dimensions}-ubyte{ending}" for ending in ("", ".gz") for dot in "-.")
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _existing(folder: Path, name: str, dimensions: int, role: Role) -> Path:
    found = _found(folder, name, dimensions)
    if found is None:
        raise ConfigError(
            f"there is no {folder / name}-idx{dimensions}-ubyte, gzipped or not",
            key=f"data.{role}.path",
            allowed="a folder that has this file, as MNIST has it",
        )
    return found


def _labels(file: Path, images: int, classes: int) -> NDArray[np.uint8]:
    labels = read_idx(file, 1)
    if len(labels) != images:
        raise DataError(f"{file}: it has {len(labels):,} labels for {images:,} images")
    if labels.max() >= classes:
        raise DataError(
            f"{file}: label {int(labels.argmax()):,} is {int(labels.max())}, and the network has {classes:,} classes"
            f" (allowed: 0 to {classes - 1:,}); take a network with more, or the images without labels (`labels: none`)"
        )
    return labels


def _entry(
    name: str,
    identity: tuple[str, int, int],
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8] | None,
    number: int,
) -> Entry:
    label = None if labels is None else int(labels[number])
    return Entry(f"{name} {number}", (*identity, number), lambda: Image.fromarray(images[number]), label)
