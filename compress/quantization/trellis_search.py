"""Rounding a layer's weights along a trellis: of all paths down a column, the one with the least divergence and bits.

Columns are taken one after the other, the error of each made up for by those still to come, as in `feedback`. Within
a column, dynamic programming (Viterbi) finds the best of all paths through the trellis; where rows below make up for
errors too, each path that is still in question moves what they want in a way of its own.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from compress.codecs.primitives.trellis import TRELLIS, Trellis, level_of
from compress.quantization.gptq import as_compiled_takes
from compress.quantization.viterbi import best_path
from compress.quantization.viterbi_per_survivor import BLOCK, best_coupled_path
from compress.runtime.jit import compiled

Floats = NDArray[np.float64]


def choose_path(
    target: Floats,
    mask: NDArray[np.bool_],
    scale: Floats,
    output_cost: Floats,
    factors: NDArray[np.float32],
    price: Floats,
    coupling: Floats | None = None,
    trellis: Trellis = TRELLIS,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Choose a level for every weight so that every column follows the trellis.

    The error of each column is made up for by the columns still to come, and that of each weight by the rows below.

    Args:
        target: shape (rows, columns), the weights wanted.
        mask: the same shape; False takes level 0.
        scale: the same shape; a weight is its level times this.
        output_cost: shape (rows,), as in `LayerStatistics`.
        factors: `triangles` of (groups, columns, columns), `LayerStatistics.row_feedback`.
        price: shape (sorts, 2, 2 * most + 1), nats of divergence that the indices -most to most of each quantizer are
            worth; columns are of one sort after the other, and again.
        coupling: shape (rows, rows), `LayerStatistics.coupling`; None takes errors in different rows for independent.
        trellis: to follow; along `NO_TRELLIS` every level is even, and the first quantizer has all.
    Returns:
        int32 levels, shape (rows, columns), and how often each quantizer used each index, as `price`.
    Source: Forney 1973, "The Viterbi algorithm"; Frantar et al. 2022 (GPTQ), arXiv:2210.17323; Raheli, Polydoros &
    Tzou 1995, "Per-survivor processing".
    """
    left = np.array(target, dtype=np.float64, order="C")
    levels = np.zeros(left.shape, dtype=np.int32)
    counts = np.zeros(price.shape, dtype=np.int64)
    # Whole blocks of rows, so that none has to be looked at for its end.
    coupled = np.zeros((0, 0)) if coupling is None else np.pad(coupling, ((0, 0), (0, -len(coupling) % BLOCK)))
    given = (mask, scale, output_cost, factors, price, trellis.arrivals, trellis.quantizer, coupled)
    _choose_path(left, *map(as_compiled_takes, given), levels, counts)  # type: ignore[call-arg]
    return levels, counts


def nearest_path(values: Floats, mask: NDArray[np.bool_], most: int, trellis: Trellis) -> NDArray[np.int32]:
    """Return the levels, following the trellis down every column, that are nearest to values.

    Args:
        values: shape (rows, columns), in steps.
        mask: the same shape; False takes level 0.
        most: the largest level that may be taken.
        trellis: to follow.
    """
    levels = np.zeros(values.shape, dtype=np.int32)
    price = np.zeros((2, 2 * ((most + 1) // 2) + 1))
    if most % 2:  # the largest index is that of `most` in the second quantizer, and of a level beyond it in the first
        price[0, [0, -1]] = np.inf
    arrays = [as_compiled_takes(array) for array in (values, mask, price, trellis.arrivals, trellis.quantizer)]
    _nearest_path(*arrays, levels)  # type: ignore[call-arg]
    return levels


_MATRIX = types.float64[:, ::1]
_VECTOR = types.float64[::1]
_NUMBERS = types.int64[:, ::1]


@compiled(
    types.void(
        _MATRIX, types.boolean[:, ::1], _MATRIX, _VECTOR, types.float32[:, ::1], types.float64[:, :, ::1], _NUMBERS,
        types.int64[::1], _MATRIX, types.int32[:, ::1], types.int64[:, :, ::1],
    )
)  # fmt: skip
def _choose_path(
    left: Floats,
    mask: NDArray[np.bool_],
    scale: Floats,
    output_cost: Floats,
    factors: NDArray[np.float32],
    price: Floats,
    arrivals: NDArray[np.int64],
    quantizer: NDArray[np.int64],
    coupling: Floats,
    levels: NDArray[np.int32],
    counts: NDArray[np.int64],
) -> None:
    rows, columns = left.shape
    states, sorts, most = len(quantizer), len(price), price.shape[2] // 2
    groups = factors.shape[0]
    ways = np.zeros((rows, states), dtype=np.int16)
    index_to, error_to = np.zeros((len(coupling), states), dtype=np.int16), np.zeros((len(coupling), states))
    values, weights, stays = np.zeros(rows), np.zeros(rows), np.zeros(rows, dtype=np.bool_)
    indices, quantizers = np.zeros(rows, dtype=np.int64), np.zeros(rows, dtype=np.int64)
    diagonal = 0
    for column in range(columns):
        sort = column % sorts
        for row in range(rows):
            step = scale[row, column]
            values[row] = left[row, column] / step
            weights[row] = 0.5 * output_cost[row] * (step / factors[row * groups // rows, diagonal]) ** 2
            stays[row] = mask[row, column]
        if len(coupling) > 0:
            best_coupled_path(
                values, weights, stays, price[sort], arrivals, quantizer, coupling,
                ways, index_to, error_to, indices, quantizers,
            )  # fmt: skip
        else:
            best_path(values, weights, stays, price[sort], arrivals, quantizer, ways, indices, quantizers)
        for row in range(rows):
            levels[row, column] = level_of(indices[row], quantizers[row])
            counts[sort, quantizers[row], indices[row] + most] += 1
            factor = factors[row * groups // rows]
            error = (left[row, column] - levels[row, column] * scale[row, column]) / factor[diagonal]
            for after in range(1, columns - column):
                left[row, column + after] -= error * factor[diagonal + after]
        diagonal += columns - column


@compiled(types.void(_MATRIX, types.boolean[:, ::1], _MATRIX, _NUMBERS, types.int64[::1], types.int32[:, ::1]))
def _nearest_path(
    values: Floats,
    mask: NDArray[np.bool_],
    price: Floats,
    arrivals: NDArray[np.int64],
    quantizer: NDArray[np.int64],
    levels: NDArray[np.int32],
) -> None:
    rows, columns = values.shape
    states = len(quantizer)
    ways = np.zeros((rows, states), dtype=np.int16)
    indices, quantizers, weights = np.zeros(rows, dtype=np.int64), np.zeros(rows, dtype=np.int64), np.ones(rows)
    for column in range(columns):
        wanted, stays = values[:, column].copy(), mask[:, column].copy()
        best_path(wanted, weights, stays, price, arrivals, quantizer, ways, indices, quantizers)
        for row in range(rows):
            levels[row, column] = level_of(indices[row], quantizers[row])
