"""How often symbols occur."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_CHUNK = 1 << 20
"""Symbols counted in one go: numpy takes 8 bytes for each."""


def counted(symbols: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Return how often each symbol from 0 to the largest occurs; nothing where there are no symbols.

    Args:
        symbols: uint16, any shape.
    Returns:
        int64, shape (largest + 1,).
    """
    symbols = symbols.reshape(-1)
    counts = np.zeros(int(symbols.max(initial=0)) + 1 if symbols.size else 0, dtype=np.int64)
    for start in range(0, symbols.size, _CHUNK):
        counts += np.bincount(symbols[start : start + _CHUNK], minlength=counts.size)
    return counts
