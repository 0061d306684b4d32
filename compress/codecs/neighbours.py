"""What of the levels before a level tells about it, for codec `context`; compiled.

Levels are whole numbers in a matrix, and come row by row; the columns of one kernel's taps follow each other. Every
number here is part of the format (docs/format.md): to change one is to make another codec.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from compress.codecs.logistic import INPUTS, SHARES, UNIT
from compress.compiled import compiled

LEVELS = types.int32[:, ::1]

MEAN_OFFSET = 32
"""Added to a mean magnitude in 1/256 before its logarithm, so that small ones are not told apart too finely."""

MOST_MAGNITUDE = 4095
"""What a magnitude counts for in a mean, at most."""

NEAR = 3
"""Beyond it a neighbour's value says no more about a sign."""

BEFORE = 8
"""Taps before in the same kernel that are looked at."""

KINDS = 64
"""Taps from this on share what is learned of signs."""

REGRESSORS = BEFORE + 4
"""What a sign is regressed on."""


@compiled(types.int64(types.int64, types.int64, types.int64))
def clipped(number: int, least: int, most: int) -> int:
    """Return a number, no less than `least` and no more than `most`."""
    return max(least, min(most, number))


@compiled(types.int64(types.int64))
def logarithm(number: int) -> int:
    """Return 8 times the binary logarithm of a positive number, each octave cut evenly in 8."""
    octave = 0
    while number >> (octave + 1) > 0:
        octave += 1
    return 8 * octave + (((number << 3) >> octave) & 7)


@compiled(types.int64(types.int64, types.int64, types.int64))
def moved(mean: int, magnitude: int, seen: int) -> int:
    """Return a mean magnitude, in 1/256, after one more."""
    return mean + (((min(magnitude, MOST_MAGNITUDE) * 256 - mean) * SHARES[seen]) >> 16)  # type: ignore[no-any-return]


@compiled(types.int64(LEVELS, types.int64, types.int64))
def _at(levels: NDArray[np.int32], row: int, column: int) -> int:
    """Return a level; 0 outside the matrix."""
    return levels[row, column] if row >= 0 and column >= 0 else 0


@compiled(types.int64(LEVELS, types.int64, types.int64, types.int64))
def near(levels: NDArray[np.int32], row: int, column: int, most: int) -> int:
    """Return a level, or 0 outside the matrix, no further than `most` from zero."""
    return clipped(_at(levels, row, column), -most, most)


@compiled(types.int64(LEVELS, types.int64, types.int64, types.int64, types.int64))
def nearby_context(levels: NDArray[np.int32], row: int, column: int, tap: int, taps: int) -> int:
    """Return a magnitude's context in its neighbours: the taps before in its kernel or, for the first, others."""
    if tap == 0:
        above, second = abs(_at(levels, row - 1, column)), abs(_at(levels, row - 2, column))
        return min(logarithm(4 * above + 3 * second + 4 * abs(_at(levels, row, column - taps)) + 1), 63)
    count, total = min(tap, BEFORE), 0
    for before in range(1, count + 1):
        total += abs(levels[row, column - before])
    return 64 * min(tap, 15) + min(logarithm(16 * total // count + 4), 63)


@compiled(types.int64(LEVELS, types.int64, types.int64, types.int64, types.int64))
def sign_context(levels: NDArray[np.int32], row: int, column: int, tap: int, width: int) -> int:
    """Return a sign's context: the signs of three taps of its kernel, the one before, the one above and the first."""
    left = near(levels, row, column - 1, 1) if tap > 0 else 0
    over = near(levels, row, column - width, 1) if tap >= width else 0
    first = near(levels, row, column - tap, 1) if tap > 0 else 0
    return 27 * min(tap, KINDS - 1) + 9 * (left + 1) + 3 * (over + 1) + first + 1


@compiled(types.void(LEVELS, types.int64, types.int64, types.int64, types.int64, types.int64, types.int64, INPUTS))
def regress_on(
    levels: NDArray[np.int32],
    row: int,
    column: int,
    tap: int,
    taps: int,
    four: int,
    sixteen: int,
    out: NDArray[np.int64],
) -> None:
    """Write what a sign is regressed on: taps before, the level above and sums of 4 and 16, the kernel before."""
    for before in range(BEFORE):
        out[before] = UNIT * near(levels, row, column - 1 - before, NEAR) if before < tap else 0
    out[BEFORE] = UNIT * near(levels, row - 1, column, NEAR)
    out[BEFORE + 1] = UNIT // 2 * four
    out[BEFORE + 2] = UNIT // 4 * sixteen
    out[BEFORE + 3] = UNIT * near(levels, row, column - taps, NEAR)
