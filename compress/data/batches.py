"""Photos as a network takes them, some at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from compress.data.photos import Photos
from compress.data.transforms import to_input
from compress.model import Preprocessing


def batches(
    photos: Photos, preprocessing: Preprocessing, size: int, first: int = 0, every: int = 1
) -> Iterator[NDArray[np.float32]]:
    """Yield the photos in order as inputs of shape (n, channels, height, width); n is `size`, the last may be less.

    Args:
        photos: all of them.
        preprocessing: the network's.
        size: photos a batch.
        first: which batch is the first; those before are another process'.
        every: which batches after it: each, each second, and so on.
    """
    for start in range(first * size, len(photos), every * size):
        yield to_input(photos.at(slice(start, start + size)), preprocessing)
