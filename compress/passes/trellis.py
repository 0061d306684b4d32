"""Rounding a layer's weights along a trellis: of all paths down a column, the one with the least divergence and bits.

Columns are taken one after the other, the error of each made up for by those still to come, as in `feedback`. Within
a column the weights of different rows do not make up for each other, and so dynamic programming (Viterbi) finds the
best of all paths through the trellis.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from compress.codecs.trellis import NEXT, QUANTIZER
from compress.compiled import compiled
from compress.passes.feedback import as_compiled_takes

Floats = NDArray[np.float64]

_TRIED = 7
"""Indices tried from the nearest one towards zero: the bits that a smaller one saves are rarely worth more."""


def choose_path(
    target: Floats,
    kept: NDArray[np.bool_],
    scale: Floats,
    output_cost: Floats,
    factors: NDArray[np.float32],
    price: Floats,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Choose a level for every weight so that every column follows the trellis.

    Args:
        target: shape (rows, columns), the weights wanted.
        kept: the same shape; False takes level 0.
        scale: the same shape; a weight is its level times this.
        output_cost: shape (rows,), as in `LayerStatistics`.
        factors: shape (rows, columns, columns), `LayerStatistics.row_feedback`; or (1, columns, columns), for all rows.
        price: shape (2, 2 * most + 1), nats of divergence that the indices -most to most of each quantizer are worth.
    Returns:
        int32 levels, shape (rows, columns), and how often each quantizer used each index, as `price`.
    Source: Forney 1973, "The Viterbi algorithm"; Frantar et al. 2022 (GPTQ), arXiv:2210.17323.
    """
    left = np.array(target, dtype=np.float64, order="C")
    levels = np.zeros(left.shape, dtype=np.int32)
    counts = np.zeros(price.shape, dtype=np.int64)
    arrays = [as_compiled_takes(array) for array in (kept, scale, output_cost, factors, price, NEXT, QUANTIZER)]
    _choose_path(left, *arrays, levels, counts)  # type: ignore[call-arg]
    return levels, counts


_MATRIX = types.float64[:, ::1]
_NUMBERS = types.int64[:, ::1]


@compiled(types.void(types.float64, types.float64, types.boolean, _MATRIX, _NUMBERS, _MATRIX))
def _best_indices(
    value: float, weight: float, kept: bool, price: Floats, index: NDArray[np.int64], cost: Floats
) -> None:
    """Find for each quantizer and parity, shape (2, 2), the index that costs least, and what it costs."""
    most = price.shape[1] // 2
    side = 1 if value > 0 else -1
    for which in range(2):
        index[which, 0] = index[which, 1] = 0
        cost[which, 0] = weight * value * value + price[which, most]
        cost[which, 1] = np.inf
        tried = int(np.rint((value + side * which) / 2)) + side
        for _ in range(_TRIED):
            if not kept or tried * side <= 0:
                break
            if tried * side <= most:
                off = value - (2 * tried - side * which)
                total = weight * off * off + price[which, tried + most]
                parity = tried & 1
                if total < cost[which, parity]:
                    cost[which, parity] = total
                    index[which, parity] = tried
            tried -= side


@compiled(
    types.void(
        _MATRIX, types.boolean[:, ::1], _MATRIX, types.float64[::1], types.float32[:, :, ::1], _MATRIX,
        _NUMBERS, types.int64[::1], types.int32[:, ::1], _NUMBERS,
    )
)  # fmt: skip
def _choose_path(
    left: Floats,
    kept: NDArray[np.bool_],
    scale: Floats,
    output_cost: Floats,
    factors: NDArray[np.float32],
    price: Floats,
    next_state: NDArray[np.int64],
    quantizer: NDArray[np.int64],
    levels: NDArray[np.int32],
    counts: NDArray[np.int64],
) -> None:
    rows, columns = left.shape
    states, most = next_state.shape[0], price.shape[1] // 2
    own = 1 if factors.shape[0] > 1 else 0
    # For every row and every state after it: the index that led there on the cheapest path, and the state before.
    index_to = np.zeros((rows, states), dtype=np.int64)
    state_before = np.zeros((rows, states), dtype=np.int64)
    index, cost = np.zeros((2, 2), dtype=np.int64), np.zeros((2, 2))
    total, after = np.zeros(states), np.zeros(states)
    for column in range(columns):
        total[:] = np.inf
        total[0] = 0.0
        for row in range(rows):
            step = scale[row, column]
            weight = 0.5 * output_cost[row] * (step / factors[own * row, column, column]) ** 2
            _best_indices(left[row, column] / step, weight, kept[row, column], price, index, cost)
            after[:] = np.inf
            for state in range(states):
                which = quantizer[state]
                for parity in range(2):
                    reached = next_state[state, parity]
                    if total[state] + cost[which, parity] < after[reached]:
                        after[reached] = total[state] + cost[which, parity]
                        index_to[row, reached] = index[which, parity]
                        state_before[row, reached] = state
            total[:] = after
        state = int(np.argmin(total))
        for row in range(rows - 1, -1, -1):
            chosen = index_to[row, state]
            state = state_before[row, state]
            levels[row, column] = 2 * chosen - quantizer[state] * np.sign(chosen)
            counts[quantizer[state], chosen + most] += 1
        for row in range(rows):
            factor = factors[own * row]
            error = (left[row, column] - levels[row, column] * scale[row, column]) / factor[column, column]
            for later in range(column + 1, columns):
                left[row, later] -= error * factor[column, later]
