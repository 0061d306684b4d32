"""Histograms of symbols, and their entropy."""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numpy.typing import NDArray

from compress.runtime.jit import compiled


def histogram(symbols: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Return how often each symbol occurs: int64, shape (largest symbol + 1,), or (0,) without symbols."""
    symbols = symbols.reshape(-1)
    counts = np.zeros(int(symbols.max(initial=0)) + 1 if symbols.size else 0, dtype=np.int64)
    _count(np.ascontiguousarray(symbols), counts)
    return counts


@compiled(types.void(types.Array(types.uint16, 1, "C", readonly=True), types.int64[::1]))
def _count(symbols: NDArray[np.uint16], counts: NDArray[np.int64]) -> None:
    """Count symbols. `numpy.bincount` needs 8 bytes a symbol and ten times as long."""
    for symbol in symbols:
        counts[symbol] += 1


def entropy_bits(counts: NDArray[np.int64]) -> float:
    """Return the order-0 entropy of all symbols of a histogram together, in bits."""
    return float(_entropy_bits(counts))


@compiled(types.float64(types.int64[::1]))
def _entropy_bits(counts: NDArray[np.int64]) -> float:
    total, bits = 0, 0.0
    for symbol in range(counts.size):
        total += counts[symbol]
    for symbol in range(counts.size):
        if counts[symbol] > 0:
            bits += counts[symbol] * math.log2(total / counts[symbol])
    return bits
