"""Linear prediction of a level from those before it in its row, for codec `context`; compiled.

Every column has weights of its own, for the columns before it, which learn from row to row by normalised least mean
squares: what the channels of a layer have to do with each other is far from nothing, and no table has to be stored for
it. Whole numbers alone; every one is part of the format (docs/format.md).

Source: Haykin 2002, "Adaptive filter theory", chapter 6.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from compress.codecs.context.contexts import clipped, divided
from compress.runtime.jit import compiled

_MOST_VALUE = 15  # beyond it a level says no more of others
_MOST_REACH = 1024
_REACH_A_ROW = 4  # so many columns at most for each row: with few rows there is nothing to learn, and memory is linear
_PLACES = 14  # binary places of a weight
_MOST_WEIGHT = (1 << 15) - 1
_FINER = 6  # binary places more of a step
_HALF = 1 << (_FINER - 1)
_RATE = 77  # of 2 ** (_FINER + 2): nearly a third of an error is made up for
_MOST_STEP = (1 << 15) - 1
_SCALE = 6 << 16
_MOST_HINT = 2000

PREDICTORS = types.int16[:, ::1]
VALUES = types.int16[::1]

NO_PREDICTORS = np.zeros((0, 0), dtype=np.int16)
"""What stands for weights where nothing is predicted."""


def new_predictors(rows: int, columns: int) -> NDArray[np.int16]:
    """Return weights that have learned nothing yet, shape (columns, columns before that are looked at)."""
    return np.zeros((columns, min(columns, _MOST_REACH, _REACH_A_ROW * rows)), dtype=np.int16)


@compiled(types.int64(types.int64), inline=True)
def expected_power(mean: int) -> int:
    """Return what the squares of the levels before are taken for beside what they are, so that few teach little.

    Args:
        mean: the magnitude, in 1/256, with which means begin.
    """
    return max((100 * mean * mean) >> 16, 1)  # fifty times a level's, were they Laplacian


@compiled(types.int64(PREDICTORS, VALUES, types.int64), inline=True)
def predicted(predictors: NDArray[np.int16], values: NDArray[np.int16], column: int) -> int:
    """Return what is expected of a level, in 1 / 2 ** 14; 0 where nothing is predicted.

    Args:
        predictors: shape (columns, reach).
        values: the row's levels so far, clipped.
        column: of the level.
    """
    reach, total = min(column, predictors.shape[1]), np.int32(0)  # 1,024 times 15 times a weight are 29 bits
    here, first = np.uintp(column), np.uintp(column - reach)
    for before in range(np.uintp(reach)):
        total = np.int32(total + np.int32(predictors[here, before] * values[first + before]))
    return np.int64(total)  # type: ignore[return-value]


@compiled(types.int64(types.int64), inline=True)
def hint_scale(mean: int) -> int:
    """Return what a prediction is multiplied with in `hint_of`, for parts of the mean that means begin with."""
    return divided(_SCALE, max(mean, 1))


@compiled(types.int64(types.int64, types.int64), inline=True)
def hint_of(prediction: int, scale: int) -> int:
    """Return a prediction as an input of the regression of signs; `scale` is `hint_scale`."""
    return clipped((prediction * scale) >> 16, -_MOST_HINT, _MOST_HINT)


@compiled(types.int64(PREDICTORS, VALUES, types.int64, types.int64, types.int64, types.int64), inline=True)
def learn(
    predictors: NDArray[np.int16], values: NDArray[np.int16], column: int, level: int, prediction: int, power: int
) -> int:
    """Let the weights of a column learn from its level, which goes to `values`.

    Args:
        predictors: as in `predicted`.
        values: as in `predicted`.
        column: of the level.
        level: what it was.
        prediction: what was expected.
        power: the squares of the levels that it was predicted from, and `expected_power`, summed.
    Returns:
        `power` for the next column.
    """
    most_reach = predictors.shape[1]
    if most_reach == 0:
        return power
    reach, value = min(column, most_reach), clipped(level, -_MOST_VALUE, _MOST_VALUE)
    error = (value << _PLACES) - prediction
    size = min(divided(abs(error) * _RATE, 4 * power), _MOST_STEP)
    step = size if error > 0 else -size
    here, first = np.uintp(column), np.uintp(column - reach)
    # Products of a step's whole part and of the rest of it fit into 16 bits each.
    whole, rest = np.int16(step >> _FINER), np.int16(step & ((1 << _FINER) - 1))
    for before in range(np.uintp(reach)):
        seen = values[first + before]
        moved = np.int16(np.int16(whole * seen) + (np.int16(np.int16(rest * seen) + _HALF) >> _FINER))
        weight = np.int32(predictors[here, before]) + np.int32(moved)
        weight = max(np.int32(-_MOST_WEIGHT - 1), min(np.int32(_MOST_WEIGHT), weight))  # one instruction for sixteen
        predictors[here, before] = max(np.int16(weight), np.int16(-_MOST_WEIGHT))
    values[here] = value
    gone = values[first] if reach == most_reach else 0
    return power + value * value - gone * gone
