"""Contexts of a level, computed from already decoded neighbors.

The taps of a convolution kernel are consecutive columns. Every number is part of the format (docs/format.md).
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from compress.codecs.context.logistic_mixing import ADAPTATION_RATES, LOGIT_ONE, CoderArrays
from compress.runtime.jit import Contiguous, compiled

Levels = Annotated[NDArray[np.int32], Contiguous(2)]

MEAN_OFFSET = 32
"""Added to a mean magnitude, in units of 1/256, before its logarithm: small means share contexts."""

MAX_MAGNITUDE = 4095  # larger magnitudes count as this in a mean
MAX_NEIGHBOR = 3  # neighbors are clipped to this magnitude for the sign logit
TAPS_BEFORE = 8  # preceding taps of the kernel that are used
TAP_KINDS = 64  # taps from the last kind on share their weights
PREDICTION_INPUT = TAPS_BEFORE + 4  # index of the linear prediction among the inputs of the sign logit
SIGN_INPUTS = PREDICTION_INPUT + 1


_OCTAVES = np.frexp(np.arange(1, 1 << 12))[1].astype(np.int64) - 1
_LOGARITHMS = np.append(0, 8 * _OCTAVES + ((np.arange(1, 1 << 12) << 3 >> _OCTAVES) & 7)).astype(np.uint8)
"""`log2_eighths` of numbers below 2 ** 12; four binary digits determine it."""

_RECIPROCALS = np.array([0] + [(1 << 32) // count + 1 for count in range(1, TAPS_BEFORE + 1)], dtype=np.int64)
"""1/n in units of 2 ** -32, rounded up: exact for a sum of n magnitudes of 16 bits, times 16."""


@compiled(inline=True)
def clip(number: int, minimum: int, maximum: int) -> int:
    """Return the nearest number from `minimum` to `maximum`."""
    return max(minimum, min(maximum, number))


@compiled(inline=True)
def divide_unsigned(number: int, divisor: int) -> int:
    """Return `number // divisor` for a nonnegative number, twice as fast."""
    return np.int64(np.uint64(number) // np.uint64(divisor))  # type: ignore[return-value]


@compiled(inline=True)
def log2_eighths(number: int) -> int:
    """Return 8 times the base-2 logarithm of a positive number, linear within each octave."""
    octaves = 0
    while number >= _LOGARITHMS.size:
        number >>= 4
        octaves += 4
    return 8 * octaves + _LOGARITHMS[np.uintp(number)]  # type: ignore[no-any-return]


@compiled(inline=True)
def updated_mean(mean: int, magnitude: int, count: int) -> int:
    """Return a running mean, in units of 1/256, after another magnitude."""
    return mean + (((min(magnitude, MAX_MAGNITUDE) * 256 - mean) * ADAPTATION_RATES[np.uintp(count)]) >> 16)  # type: ignore[no-any-return]


@compiled(inline=True)
def _level_at(levels: Levels, row: int, column: int) -> int:
    return levels[np.uintp(row), np.uintp(column)] if row >= 0 and column >= 0 else 0


@compiled(inline=True)
def clipped_level(levels: Levels, row: int, column: int, max_magnitude: int) -> int:
    """Return a level, or 0 outside the matrix, clipped to a magnitude."""
    return clip(_level_at(levels, row, column), -max_magnitude, max_magnitude)


@compiled(inline=True)
def neighborhood_context(levels: Levels, row: int, column: int, tap: int, taps: int, magnitude_sum: int) -> int:
    """Return the context of a magnitude in its neighbors, 0 to 1023.

    The first tap of a kernel uses the levels above and the kernel before, others up to `TAPS_BEFORE` preceding taps.
    """
    if tap == 0:
        above, second = abs(_level_at(levels, row - 1, column)), abs(_level_at(levels, row - 2, column))
        return min(log2_eighths(4 * above + 3 * second + 4 * abs(_level_at(levels, row, column - taps)) + 1), 63)
    mean = (16 * magnitude_sum * _RECIPROCALS[np.uintp(min(tap, TAPS_BEFORE))]) >> 32
    return 64 * min(tap, 15) + min(log2_eighths(mean + 4), 63)


@compiled(inline=True)
def sign_context(levels: Levels, row: int, column: int, tap: int, width: int) -> int:
    """Return the context of a sign: the signs of the tap to the left, the tap above and the first tap of the kernel."""
    left = clipped_level(levels, row, column - 1, 1) if tap > 0 else 0
    over = clipped_level(levels, row, column - width, 1) if tap >= width else 0
    first = clipped_level(levels, row, column - tap, 1) if tap > 0 else 0
    return 27 * min(tap, TAP_KINDS - 1) + 9 * (left + 1) + 3 * (over + 1) + first + 1


@compiled(inline=True)
def sign_regression(
    levels: Levels,
    row: int,
    column: int,
    tap: int,
    taps: int,
    sums: tuple[int, int],
    arrays: CoderArrays,
    weights_row: int,
) -> int:
    """Fill the inputs of the sign logit, except for the prediction, and return their weighted sum.

    The inputs are the preceding taps, the level above, `sums` of the 4 and of the 16 levels above, and the same tap of
    the kernel before. Inputs of absent taps keep old values without use.
    """
    total, weights, inputs = 0, arrays.weights[np.uintp(weights_row)], arrays.inputs
    for before in range(min(tap, TAPS_BEFORE)):
        value = LOGIT_ONE * clipped_level(levels, row, column - 1 - before, MAX_NEIGHBOR)
        inputs[np.uintp(before)] = value
        total += value * weights[np.uintp(before)]
    inputs[TAPS_BEFORE] = LOGIT_ONE * clipped_level(levels, row - 1, column, MAX_NEIGHBOR)
    inputs[TAPS_BEFORE + 1] = LOGIT_ONE // 2 * sums[0]
    inputs[TAPS_BEFORE + 2] = LOGIT_ONE // 4 * sums[1]
    inputs[TAPS_BEFORE + 3] = LOGIT_ONE * clipped_level(levels, row, column - taps, MAX_NEIGHBOR)
    for other in range(TAPS_BEFORE, SIGN_INPUTS):
        total += inputs[np.uintp(other)] * weights[np.uintp(other)]
    return total
