"""Decoded photos with labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from compress.runtime.mapped_arrays import release_pages

T = TypeVar("T")

Role = Literal["calibration", "validation"]
"""Use of a photo set. The two sets share no photo."""


@dataclass(frozen=True, eq=False)
class Photos:
    """Photos at a network's input size, usually in a memory map.

    Attributes:
        pixels: uint8, shape (count, height, width, channels), RGB or gray.
        labels: int64, shape (count,), class indices; None: no labels.
        names: origin of each photo, for messages.
        description: count and origin, for reports.
        fingerprint: SHA-256 of pixels and labels, hex.
        skipped: unreadable files, each with the reason.
        balance_classes: in calibration statistics photos count more if their classes, as the float network sees them,
            are rare among the photos.
    """

    pixels: NDArray[np.uint8] = field(repr=False)
    labels: NDArray[np.int64] | None = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    description: str
    fingerprint: str
    skipped: tuple[str, ...] = ()
    balance_classes: bool = False

    def __len__(self) -> int:
        return len(self.pixels)

    def at(self, indices: slice | NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return a copy of the photos at `indices`, shape (n, height, width, channels).

        The process releases the pages of a memory map after the copy; they stay in the system's file cache.
        """
        selected = np.array(self.pixels[indices])
        if isinstance(self.pixels, np.memmap) and self.pixels.mode == "r":
            release_pages(self.pixels)
        return selected


def evenly_spread(items: Sequence[T], limit: int | None) -> list[T]:
    """Return at most `limit` items, evenly spread; all if it is None."""
    count = len(items) if limit is None else min(limit, len(items))
    return [items[n * len(items) // count] for n in range(count)]
