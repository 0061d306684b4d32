"""Linear prediction of a level from the levels before it in its row, by normalized least mean squares (NLMS).

Channels of a layer are correlated. Each column has weights for the columns before it, learned from row to row, so no
table is stored. Every number is part of the format (docs/format.md).

Source: Haykin 2002, "Adaptive filter theory", chapter 6.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from compress.codecs.context.context_model import clip, divide_unsigned
from compress.runtime.jit import Contiguous, compiled

_MAX_VALUE = 15  # levels are clipped to this magnitude
_MAX_ORDER = 1024  # columns before that a column is predicted from
_ORDER_PER_ROW = 4  # limits the order of matrices with few rows: they teach little, and memory stays linear
_WEIGHT_BITS = 14  # binary places of a weight
_MAX_WEIGHT = (1 << 15) - 1
_STEP_BITS = 6  # further binary places of a step
_STEP_HALF = 1 << (_STEP_BITS - 1)
_RATE = 77  # in units of 1 / 2 ** (_STEP_BITS + 2): a step corrects 0.3 of the error
_MAX_STEP = (1 << 15) - 1
INPUT_SCALE = 6 << 16
_MAX_INPUT = 2000

Predictors = Annotated[NDArray[np.int16], Contiguous(2)]
Values = Annotated[NDArray[np.int16], Contiguous(1)]


def new_predictors(shape: tuple[int, ...], prediction: bool) -> NDArray[np.int16]:
    """Return the initial weights for a matrix, zeros of shape (columns, order); order 0 without prediction."""
    rows, columns = shape
    order = min(columns, _MAX_ORDER, _ORDER_PER_ROW * rows) if prediction else 0
    return np.zeros((columns, order), dtype=np.int16)


@compiled(inline=True)
def initial_power(mean: int) -> int:
    """Return the regularization of the input power, for a mean magnitude in units of 1/256."""
    return max((100 * mean * mean) >> 16, 1)  # the power of fifty Laplacian levels


@compiled(inline=True)
def predict(predictors: Predictors, values: Values, column: int) -> int:
    """Return the predicted level of a column, in units of 2 ** -14; 0 without prediction.

    `predictors` has the shape (columns, order); `values` are the row's levels so far, clipped.
    """
    order, total = min(column, predictors.shape[1]), np.int32(0)  # 1024 products of 15 and a weight take 29 bits
    here, first = np.uintp(column), np.uintp(column - order)
    for before in range(np.uintp(order)):
        total = np.int32(total + np.int32(predictors[here, before] * values[first + before]))
    return np.int64(total)  # type: ignore[return-value]


@compiled(inline=True)
def sign_input(prediction: int, scale: int) -> int:
    """Return a prediction as an input of the sign logit; `scale` is `INPUT_SCALE` / initial mean magnitude."""
    return clip((prediction * scale) >> 16, -_MAX_INPUT, _MAX_INPUT)


@compiled(inline=True)
def update(predictors: Predictors, values: Values, column: int, level: int, prediction: int, power: int) -> int:
    """Update a column's weights with its level, store the clipped level, and return the power for the next column.

    `power` is the sum of squares of the levels that the level was predicted from, plus `initial_power`.
    """
    max_order = predictors.shape[1]
    if max_order == 0:
        return power
    order, value = min(column, max_order), clip(level, -_MAX_VALUE, _MAX_VALUE)
    error = (value << _WEIGHT_BITS) - prediction
    size = min(divide_unsigned(abs(error) * _RATE, 4 * power), _MAX_STEP)
    step = size if error > 0 else -size
    here, first = np.uintp(column), np.uintp(column - order)
    # The integer part and the fraction of a step each have products of at most 16 bits.
    whole, fraction = np.int16(step >> _STEP_BITS), np.int16(step & ((1 << _STEP_BITS) - 1))
    for before in range(np.uintp(order)):
        seen = values[first + before]
        change = np.int16(np.int16(whole * seen) + (np.int16(np.int16(fraction * seen) + _STEP_HALF) >> _STEP_BITS))
        weight = np.int32(predictors[here, before]) + np.int32(change)
        weight = max(np.int32(-_MAX_WEIGHT - 1), min(np.int32(_MAX_WEIGHT), weight))  # one instruction for sixteen
        predictors[here, before] = max(np.int16(weight), np.int16(-_MAX_WEIGHT))
    values[here] = value
    left_out = values[first] if order == max_order else 0
    return power + value * value - left_out * left_out
