"""Dependent quantization: 32 states say, weight by weight, which of two quantizers applies.

A column of a matrix is walked from its first row to its last, from state 0. Levels are whole numbers; in a state of
quantizer 0 only the even ones may be used, in a state of quantizer 1 only the odd ones and zero. What is coded is the
index of a level within its quantizer: half of it, away from zero. The index's parity leads to the next state. So
every quantizer has steps twice as wide as the levels, and costs a bit less a weight, while over some weights nearly
every combination of levels can still be reached.

Source: Marcellin & Fischer 1990, "Trellis coded quantization of memoryless and Gauss-Markov sources"; the two
quantizers are unions of subsets as in Joshi, Crump & Fischer 1995, "Image subband coding using arithmetic coded
trellis coded quantization".
"""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from compress.compiled import compiled

STATES = 32

_LEVELS = types.Array(types.int32, 2, "C", readonly=True)
_STATES = types.Array(types.int64, 1, "C", readonly=True)
_FOLLOWING = types.Array(types.int64, 2, "C", readonly=True)


def _odd_bits(mask: int) -> NDArray[np.int64]:
    """Return for each state 1 if the number of its bits in a mask is odd, else 0."""
    return np.array([(state & mask).bit_count() & 1 for state in range(STATES)], dtype=np.int64)


QUANTIZER = _odd_bits(0b01001)
"""Which quantizer a state uses."""

NEXT = (2 * np.arange(STATES)[:, None] + (np.arange(2) ^ _odd_bits(0b11110)[:, None])) % STATES
"""The state after an even and after an odd index, shape (states, 2).

Of all shift registers of 32 states with one tap mask each for feedback and quantizer this one rounds evenly spread
numbers best: 1.24 dB better than one quantizer at the same bits; with 8 states it would be 1.11 dB, without end 1.53.
"""

TRELLIS = (QUANTIZER, NEXT)

NO_TRELLIS = (np.zeros(1, dtype=np.int64), np.zeros((1, 2), dtype=np.int64))
"""The same of one state, always of quantizer 0, for what goes along a trellis or not."""

for _table in (*TRELLIS, *NO_TRELLIS):
    _table.flags.writeable = False


@compiled(types.int64(types.int64, types.int64), inline=True)
def level_of(index: int, quantizer: int) -> int:
    """Return the level that an index of a quantizer stands for."""
    return 2 * index - quantizer * ((index > 0) - (index < 0))


@compiled(types.boolean(_LEVELS, _STATES, _FOLLOWING, types.int32[:, ::1]))
def _follow(
    levels: NDArray[np.int32],
    quantizers: NDArray[np.int64],
    following: NDArray[np.int64],
    indices: NDArray[np.int32],
) -> bool:
    """Write the indices of levels, where there is room for them, and return whether all follow the trellis."""
    rows, columns = levels.shape
    states = np.zeros(columns, np.uint8)
    for row in range(rows):
        for column in range(columns):
            level, quantizer = levels[row, column], quantizers[states[column]]
            if (level & 1) != quantizer and (quantizer == 0 or level != 0):
                return False
            index = (abs(level) + quantizer) >> 1
            states[column] = following[states[column], index & 1]
            if row < len(indices):
                indices[row, column] = index if level > 0 else -index
    return True


@compiled(types.void(_LEVELS, _STATES, _FOLLOWING, types.int32[:, ::1]))
def _lead(
    indices: NDArray[np.int32],
    quantizers: NDArray[np.int64],
    following: NDArray[np.int64],
    levels: NDArray[np.int32],
) -> None:
    rows, columns = indices.shape
    states = np.zeros(columns, np.uint8)
    for row in range(rows):
        for column in range(columns):
            index, quantizer = indices[row, column], quantizers[states[column]]
            levels[row, column] = level_of(index, quantizer)
            states[column] = following[states[column], index & 1]


def follows_trellis(levels: NDArray[np.int32]) -> bool:
    """Return whether levels, shape (rows, columns), follow the trellis down every column."""
    return bool(_follow(np.ascontiguousarray(levels), *TRELLIS, np.empty((0, 0), np.int32)))


def trellis_indices(levels: NDArray[np.int32]) -> NDArray[np.int32] | None:
    """Return the indices of levels that follow the trellis down every column; None where one does not.

    Args:
        levels: shape (rows, columns).
    """
    indices = np.empty(levels.shape, np.int32)
    return indices if _follow(np.ascontiguousarray(levels), *TRELLIS, indices) else None


def trellis_levels(indices: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the levels of indices, shape (rows, columns): the inverse of `trellis_indices`."""
    levels = np.empty(indices.shape, np.int32)
    _lead(np.ascontiguousarray(indices), *TRELLIS, levels)
    return levels
