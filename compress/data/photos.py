"""Photos as every later stage reads them."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Role = Literal["calibration", "validation"]
"""What photos are for. No photo may be used for both."""


@dataclass(frozen=True, eq=False)
class Photos:
    """Photos, resized and cropped for a network, as bytes; usually a memory map.

    Attributes:
        pixels: uint8, shape (count, height, width, channels), RGB or grey.
        labels: int64, shape (count,), the class of each; None where there are none.
        names: where each came from, for messages.
        description: one sentence for a person: what these photos are, and how many.
        fingerprint: hex digest of pixels, labels and sample weights.
        skipped: names of the files that could not be read, with the reason.
        sample_weights: float64, shape (count,), how much each counts in statistics, 1 on average; None for all alike.
    """

    pixels: NDArray[np.uint8] = field(repr=False)
    labels: NDArray[np.int64] | None = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    description: str
    fingerprint: str
    skipped: tuple[str, ...] = ()
    sample_weights: NDArray[np.float64] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.pixels)

    def at(self, places: slice | NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return a copy of the photos at some places, shape (n, height, width, channels).

        Whoever goes through a memory map takes no more memory than what is copied: the map's pages are left to the
        system's cache, from which they come back at once as long as memory is plenty.
        """
        found = np.asarray(self.pixels[places])
        if np.may_share_memory(found, self.pixels):
            found = found.copy()
        if isinstance(self.pixels, np.memmap) and self.pixels.mode == "r":
            _let_pages_go(self.pixels)
        return found


def _let_pages_go(pixels: NDArray[np.uint8]) -> None:
    owner: object = pixels
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):  # Windows has none
        owner.madvise(mmap.MADV_DONTNEED)
