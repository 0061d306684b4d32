"""What of the levels before a level tells about it, for codec `context`; compiled.

Levels are whole numbers in a matrix, and come row by row; the columns of one kernel's taps follow each other. Every
number here is part of the format (docs/format.md): to change one is to make another codec.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from compress.codecs.context.logistic_mixing import INPUTS, SHARES, UNIT, WEIGHTS
from compress.runtime.jit import compiled

LEVELS = types.int32[:, ::1]
_SUMS = types.UniTuple(types.int64, 2)  # type: ignore[no-untyped-call]

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

PREDICTED = BEFORE + 4
"""Where among what a sign is regressed on its linear prediction is; 0 where there is none."""

REGRESSORS = PREDICTED + 1
"""What a sign is regressed on."""


def _logarithms() -> NDArray[np.uint8]:
    numbers = np.arange(1, 1 << 12)
    octaves = np.frexp(numbers)[1].astype(np.int64) - 1
    return np.append(0, 8 * octaves + ((numbers << 3 >> octaves) & 7)).astype(np.uint8)


_LOGARITHMS = _logarithms()
"""Of numbers below 2 ** 12, what `logarithm` returns; of any number, its first four binary digits alone matter."""

_RECIPROCALS = np.array([0] + [(1 << 32) // count + 1 for count in range(1, BEFORE + 1)], dtype=np.int64)
"""In 1 / 2 ** 32, rounded up: exact enough to divide any sum of so many magnitudes of 16 bits, times 16."""


@compiled(types.int64(types.int64, types.int64, types.int64), inline=True)
def clipped(number: int, least: int, most: int) -> int:
    """Return a number, no less than `least` and no more than `most`."""
    return max(least, min(most, number))


@compiled(types.int64(types.int64, types.int64), inline=True)
def divided(number: int, by: int) -> int:
    """Return a number that is not negative, divided and rounded down: half as long as where it might be negative."""
    return np.int64(np.uint64(number) // np.uint64(by))  # type: ignore[return-value]


@compiled(types.int64(types.int64), inline=True)
def logarithm(number: int) -> int:
    """Return 8 times the binary logarithm of a positive number, each octave cut evenly in 8."""
    octaves = 0
    while number >= _LOGARITHMS.size:
        number >>= 4
        octaves += 4
    return 8 * octaves + _LOGARITHMS[np.uintp(number)]  # type: ignore[no-any-return]


@compiled(types.int64(types.int64, types.int64, types.int64), inline=True)
def moved(mean: int, magnitude: int, seen: int) -> int:
    """Return a mean magnitude, in 1/256, after one more."""
    return mean + (((min(magnitude, MOST_MAGNITUDE) * 256 - mean) * SHARES[np.uintp(seen)]) >> 16)  # type: ignore[no-any-return]


@compiled(types.int64(LEVELS, types.int64, types.int64), inline=True)
def _at(levels: NDArray[np.int32], row: int, column: int) -> int:
    """Return a level; 0 outside the matrix."""
    return levels[np.uintp(row), np.uintp(column)] if row >= 0 and column >= 0 else 0


@compiled(types.int64(LEVELS, types.int64, types.int64, types.int64), inline=True)
def near(levels: NDArray[np.int32], row: int, column: int, most: int) -> int:
    """Return a level, or 0 outside the matrix, no further than `most` from zero."""
    return clipped(_at(levels, row, column), -most, most)


@compiled(types.int64(LEVELS, types.int64, types.int64, types.int64, types.int64, types.int64), inline=True)
def nearby_context(levels: NDArray[np.int32], row: int, column: int, tap: int, taps: int, total: int) -> int:
    """Return a magnitude's context in its neighbours: the taps before in its kernel or, for the first, others.

    Args:
        levels: shape (rows, columns).
        row: of the magnitude.
        column: of the magnitude.
        tap: of the column.
        taps: of a kernel.
        total: of the magnitudes of the up to `BEFORE` taps before in the same kernel.
    """
    if tap == 0:
        above, second = abs(_at(levels, row - 1, column)), abs(_at(levels, row - 2, column))
        return min(logarithm(4 * above + 3 * second + 4 * abs(_at(levels, row, column - taps)) + 1), 63)
    mean = (16 * total * _RECIPROCALS[np.uintp(min(tap, BEFORE))]) >> 32
    return 64 * min(tap, 15) + min(logarithm(mean + 4), 63)


@compiled(types.int64(LEVELS, types.int64, types.int64, types.int64, types.int64), inline=True)
def sign_context(levels: NDArray[np.int32], row: int, column: int, tap: int, width: int) -> int:
    """Return a sign's context: the signs of three taps of its kernel, the one before, the one above and the first."""
    left = near(levels, row, column - 1, 1) if tap > 0 else 0
    over = near(levels, row, column - width, 1) if tap >= width else 0
    first = near(levels, row, column - tap, 1) if tap > 0 else 0
    return 27 * min(tap, KINDS - 1) + 9 * (left + 1) + 3 * (over + 1) + first + 1


@compiled(
    types.int64(LEVELS, types.int64, types.int64, types.int64, types.int64, _SUMS, WEIGHTS, types.int64, INPUTS),
    inline=True,
)
def regressed(
    levels: NDArray[np.int32],
    row: int,
    column: int,
    tap: int,
    taps: int,
    sums: tuple[int, int],
    weights: NDArray[np.int64],
    weights_row: int,
    out: NDArray[np.int64],
) -> int:
    """Return the weighted sum of what a sign is regressed on.

    Args:
        levels: shape (rows, columns).
        row: of the sign.
        column: of the sign.
        tap: of the column.
        taps: of a kernel.
        sums: of the four levels above, and of the sixteen above.
        weights: shape (rows of weights, REGRESSORS).
        weights_row: the row of these that applies.
        out: shape (REGRESSORS,), to be filled: the taps before, those of other kernels left as they are; the level
            above, the sums, and the kernel before; the prediction is there.
    """
    total, learned = 0, np.uintp(weights_row)
    for before in range(min(tap, BEFORE)):
        value = UNIT * near(levels, row, column - 1 - before, NEAR)
        out[np.uintp(before)] = value
        total += value * weights[learned, np.uintp(before)]
    out[BEFORE] = UNIT * near(levels, row - 1, column, NEAR)
    out[BEFORE + 1] = UNIT // 2 * sums[0]
    out[BEFORE + 2] = UNIT // 4 * sums[1]
    out[BEFORE + 3] = UNIT * near(levels, row, column - taps, NEAR)
    for other in range(BEFORE, REGRESSORS):
        total += out[np.uintp(other)] * weights[learned, np.uintp(other)]
    return total
