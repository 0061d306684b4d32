"""Integer levels of uniformly quantized weights <-> symbols, which are codebook indices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compress.tensors.zigzag import zigzag_decode, zigzag_encode

MAX_FLOAT16_LEVELS = 4097
"""Entries of the largest codebook of levels that float16 holds exactly: float16 is exact up to 2,048."""


def levels_to_symbols(levels: NDArray[np.int32]) -> NDArray[np.uint16]:
    """Return the symbols of levels from -32,767 to 32,768: levels 0, 1, -1, 2, -2 are symbols 0, 1, 2, 3, 4."""
    return zigzag_encode(np.negative(levels.astype(np.int16)))  # 32,768 wraps around to -32,768


def symbols_to_levels(symbols: NDArray[np.uint16]) -> NDArray[np.int32]:
    """Return the levels of symbols: the inverse of `levels_to_symbols`."""
    return np.negative(zigzag_decode(symbols).astype(np.int32))


_ALL_LEVELS = symbols_to_levels(np.arange(2**16, dtype=np.uint16)).astype(np.float32)
_ALL_LEVELS.flags.writeable = False


def levels_codebook(entries: int) -> NDArray[np.float32]:
    """Return the codebook of 1 to 65,536 levels, 0, 1, -1, 2, -2 and so on: a read-only view of one array."""
    assert 1 <= entries <= len(_ALL_LEVELS)
    return _ALL_LEVELS[:entries]
