"""Photos as a network takes them, some at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from compress.data.photos import Photos
from compress.data.transforms import to_input
from compress.model import Preprocessing
from compress.ranks import ALONE, Ranks


def batches(
    photos: Photos, preprocessing: Preprocessing, size: int, ranks: Ranks = ALONE
) -> Iterator[NDArray[np.float32]]:
    """Yield the photos in order as inputs of shape (n, channels, height, width); n is `size`, the last may be less.

    Of several processes each yields its own batches, one after the other's turn.
    """
    for number, start in enumerate(range(0, len(photos), size)):
        if ranks.own(number):
            yield to_input(photos.pixels[start : start + size], preprocessing)
