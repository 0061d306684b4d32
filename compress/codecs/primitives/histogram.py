"""How often symbols occur, and how much that tells of them."""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numpy.typing import NDArray

from compress.runtime.jit import compiled


def counted(symbols: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Return how often each symbol from 0 to the largest occurs; nothing where there are no symbols.

    Args:
        symbols: uint16, any shape.
    Returns:
        int64, shape (largest + 1,).
    """
    symbols = symbols.reshape(-1)
    counts = np.zeros(int(symbols.max(initial=0)) + 1 if symbols.size else 0, dtype=np.int64)
    _count(np.ascontiguousarray(symbols), counts)
    return counts


@compiled(types.void(types.Array(types.uint16, 1, "C", readonly=True), types.int64[::1]))
def _count(symbols: NDArray[np.uint16], counts: NDArray[np.int64]) -> None:
    """Add to `counts` how often each symbol occurs. numpy takes 8 bytes for each symbol and ten times as long."""
    for symbol in symbols:
        counts[symbol] += 1


def entropy_bits(counts: NDArray[np.int64]) -> float:
    """Return the order-0 entropy of symbols that occur so often: all of them together, in bits."""
    return float(_entropy(counts))


@compiled(types.float64(types.int64[::1]))
def _entropy(counts: NDArray[np.int64]) -> float:
    whole, bits = 0, 0.0
    for which in range(counts.size):
        whole += counts[which]
    for which in range(counts.size):
        if counts[which] > 0:
            bits += counts[which] * math.log2(whole / counts[which])
    return bits
