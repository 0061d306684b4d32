"""Handwritten digits: a small labeled data set that comes with scikit-learn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic.dataclasses import dataclass

from compress.data.class_index import NetworkClasses
from compress.data.collect import Limit, PhotoList, PhotoSource
from compress.data.decoding import PhotoEntry
from compress.data.photos import Role
from compress.runtime.option_types import OPTIONS

_CLASSES = 10
_VALIDATION_INTERVAL = 3
"""Every third image of each digit is for validation."""


@dataclass(frozen=True, config=OPTIONS)
class Digits(PhotoSource):
    """scikit-learn's 1,797 handwritten digits, 8 x 8 gray: 1,201 for calibration, 596 for validation.

    The images have labels only for a network with 10 classes.

    Attributes:
        limit: maximum number of images, with equal numbers of each digit; None: all.
    """

    limit: Limit = None

    def list_photos(self, role: Role, classes: NetworkClasses) -> PhotoList:
        """List the digits; see `PhotoSource`."""
        from sklearn.datasets import load_digits  # noqa: PLC0415  takes a second to import

        images, digits = load_digits(return_X_y=True)
        gray = np.round(images.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
        labeled = classes.count == _CLASSES
        entries = [
            _entry(index, gray[index], int(digits[index]) if labeled else None)
            for index in _indices(digits, role)[: self.limit]
        ]
        labels = "labeled 0 to 9" if labeled else f"without labels: the network has {classes.count:,} classes"
        return PhotoList(entries, f"handwritten digits in the scikit-learn package, {labels}")


def _indices(digits: NDArray[np.int64], role: Role) -> list[int]:
    """Return the indices of a role's images in the order 0, 1, ... 9, 0, 1, ..., so that prefixes are balanced."""
    by_digit = (np.flatnonzero(digits == digit) for digit in range(_CLASSES))
    ranked = sorted((rank, int(index)) for indices in by_digit for rank, index in enumerate(indices))
    last = _VALIDATION_INTERVAL - 1
    return [index for rank, index in ranked if (rank % _VALIDATION_INTERVAL == last) == (role == "validation")]


def _entry(index: int, pixels: NDArray[np.uint8], label: int | None) -> PhotoEntry:
    return PhotoEntry(f"digit image {index}", ("digits", index), lambda: Image.fromarray(pixels), label)
