"""TODO."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST_FLOAT16_LEVELS = 4097
"""Entries up to which a codebook of levels is exact in float16, which holds whole numbers up to 2,048."""


def zigzag_symbols(levels: NDArray[np.int32]) -> NDArray[np.uint16]:
    """Return the symbols that stand for whole numbers from -32,767 to 32,768: 0, 1, -1, 2, -2 are 0, 1, 2, 3, 4."""
    negated = levels.astype(np.int16)  # 32,768 wraps around to what it is when negated
    np.negative(negated, out=negated)
    signs = negated >> 15
    negated <<= 1
    negated ^= signs
    return negated.view(np.uint16)


def zigzag_levels(symbols: NDArray[np.uint16]) -> NDArray[np.int32]:
    """Return the whole numbers that symbols stand for: the inverse of `zigzag_symbols`."""
    levels = symbols.astype(np.int32)
    levels += 1
    levels >>= 1
    others = (symbols & 1).view(np.int16)
    others -= 1  # 0, and -1 of the others: what flips all bits and then adds one negates
    levels ^= others
    levels -= others
    return levels


_LEVELS = zigzag_levels(np.arange(2**16, dtype=np.uint16)).astype(np.float32)

_LEVELS.flags.writeable = False


def levels_codebook(entries: int) -> NDArray[np.float32]:
    """Return the codebook of whole numbers in zigzag: 0, 1, -1, 2, -2 and so on, `entries` of them, 1 to 65,536.

    In a file it takes nothing but its length, and codec `context` takes symbols for these numbers.
    """
    assert 1 <= entries <= len(_LEVELS)
    return _LEVELS[:entries]


def _begins_levels(values: NDArray[np.float32]) -> bool:
    """Return whether values are those of `levels_codebook` by being a part of it, without looking at each."""
    return values.base is _LEVELS and values.strides == _LEVELS.strides and values[0] == 0
