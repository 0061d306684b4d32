"""Histograms of symbols, and their entropy."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from compress.runtime.jit import Contiguous

Symbols = Annotated[NDArray[np.uint16], Contiguous(1, readonly=True)]
Counts = Annotated[NDArray[np.int64], Contiguous(1)]

_BLOCK = 1 << 16
"""Symbols that are counted at once: `numpy.bincount` needs 8 bytes for each."""

UNSEEN_COUNT = 0.5
"""Frequency of a symbol that has not occurred, in prices."""


def histogram(symbols: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Return how often each symbol occurs: int64, shape (largest symbol + 1,), or (0,) without symbols."""
    counts = np.zeros(int(symbols.max()) + 1 if symbols.size else 0, dtype=np.int64)
    flat = symbols.reshape(-1)
    for start in range(0, flat.size, _BLOCK):
        counts += np.bincount(flat[start : start + _BLOCK], minlength=counts.size)
    return counts


def entropy_bytes(symbols: NDArray[np.uint16]) -> float:
    """Return the order-0 entropy of all symbols together, in bytes."""
    counts = histogram(symbols)
    used = counts[counts > 0]
    return float((used * np.log2(used.sum() / used)).sum()) / 8


def ideal_bits(counts: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the ideal code length of each symbol for frequencies along the last dimension, all above zero."""
    bits: NDArray[np.float64] = -np.log2(counts / counts.sum(-1, keepdims=True))
    return bits
