"""MNIST, and data sets in its format: four idx files in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic.dataclasses import dataclass

from compress.data.class_index import NetworkClasses
from compress.data.collect import Limit, PhotoList, PhotoSource
from compress.data.decoding import PhotoEntry, file_identity
from compress.data.idx_file import read_idx
from compress.data.photos import Role, evenly_spread
from compress.errors import ConfigError, DataError
from compress.runtime.file_names import expand_home
from compress.runtime.option_types import OPTIONS, FilePath

_PREFIXES: Mapping[Role, str] = {"calibration": "train", "validation": "t10k"}

_MAX_SIDE = 4096
"""Maximum height and width in pixels; a damaged file may give any."""


@dataclass(frozen=True, config=OPTIONS)
class Idx(PhotoSource):
    """Gray images in a folder of idx files with the names of MNIST's files, gzipped or not.

    Calibration reads `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`, validation `t10k-...`.

    Attributes:
        path: the folder.
        limit: maximum number of images, evenly spread; None: all.
        labels: `none` uses the images without labels.
    """

    path: FilePath
    limit: Limit = None
    labels: Literal["auto", "none"] = "auto"

    def list_photos(self, role: Role, classes: NetworkClasses) -> PhotoList:
        """List the images; see `PhotoSource`."""
        folder, prefix = expand_home(self.path), _PREFIXES[role]
        file = _existing(folder, f"{prefix}-images", 3, role)
        images, labels = _read_images(file), None
        if self.labels == "auto" and classes.count:
            labels = _read_labels(_existing(folder, f"{prefix}-labels", 1, role), len(images), classes.count)
        identity = file_identity(file)

        def entry(index: int) -> PhotoEntry:
            label = None if labels is None else int(labels[index])
            return PhotoEntry(f"{file.name} {index}", (*identity, index), lambda: Image.fromarray(images[index]), label)

        entries = [entry(index) for index in evenly_spread(range(len(images)), self.limit)]
        return PhotoList(entries, f"images from {file}, {'without labels' if labels is None else 'labeled'}")


def has_idx_files(folder: Path) -> bool:
    """Return whether a folder has an idx file of validation images."""
    return _find(folder, f"{_PREFIXES['validation']}-images", 3) is not None


def _find(folder: Path, name: str, dimensions: int) -> Path | None:
    paths = (folder / f"{name}{dot}idx{dimensions}-ubyte{suffix}" for suffix in ("", ".gz") for dot in "-.")
    return next((path for path in paths if path.is_file()), None)


def _existing(folder: Path, name: str, dimensions: int, role: Role) -> Path:
    file = _find(folder, name, dimensions)
    if file is None:
        raise ConfigError(
            f"{folder / name}-idx{dimensions}-ubyte does not exist, gzipped or not",
            key=f"data.{role}.path",
            allowed="a folder with the four files of MNIST",
        )
    return file


def _read_images(file: Path) -> NDArray[np.uint8]:
    images = read_idx(file, 3)
    _, height, width = images.shape
    if max(height, width) > _MAX_SIDE:
        raise DataError(f"{file}: images of {height:,} x {width:,} pixels (allowed: at most {_MAX_SIDE:,} a side)")
    return images


def _read_labels(file: Path, images: int, classes: int) -> NDArray[np.uint8]:
    labels = read_idx(file, 1)
    if len(labels) != images:
        raise DataError(f"{file}: {len(labels):,} labels for {images:,} images")
    if labels.max() >= classes:
        raise DataError(
            f"{file}: label {int(labels.argmax()):,} is {int(labels.max())}, but the network has {classes:,} classes"
            f" (allowed: 0 to {classes - 1:,}); use a network with more classes, or the images without labels"
            " (`labels: none`)"
        )
    return labels
