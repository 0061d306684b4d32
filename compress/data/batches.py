"""Batches of network input."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from compress.data.photos import Photos
from compress.data.transforms import to_input
from compress.model import Preprocessing


def batches(
    photos: Photos, preprocessing: Preprocessing, batch_photos: int, first: int = 0, step: int = 1
) -> Iterator[NDArray[np.float32]]:
    """Yield photos in order as input of shape (n, channels, height, width), n <= `batch_photos`.

    Args:
        photos: all photos.
        preprocessing: the network's.
        batch_photos: photos in each batch but the last.
        first: index of the first batch to yield.
        step: yield every `step`-th batch; the others belong to other processes.
    """
    for start in range(first * batch_photos, len(photos), step * batch_photos):
        yield to_input(photos.at(slice(start, start + batch_photos)), preprocessing)
