"""Whole numbers of either sign <-> symbols: 0, -1, 1, -2, 2 are 0, 1, 2, 3, 4, as differences are written.

Levels go the other way round (`compress.tensors.zigzag_symbols`): there the positive one of a pair comes first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def to_symbols(numbers: NDArray[np.int64]) -> NDArray[np.uint16]:
    """Return the symbols of whole numbers from -32,768 to 32,767."""
    return np.where(numbers < 0, -2 * numbers - 1, 2 * numbers).astype(np.uint16)


def from_symbols(symbols: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Return the whole numbers that `to_symbols` was given."""
    numbers = symbols.astype(np.int64)
    negative = -(numbers & 1)  # all bits of it, which are flipped then
    numbers >>= 1
    numbers ^= negative
    return numbers
