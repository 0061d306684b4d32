"""Rounding a layer's weights one after the other, the error of each made up for by those still to come."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from compress.runtime.jit import compiled

Floats = NDArray[np.float64]


def choose(
    target: Floats,
    mask: NDArray[np.bool_],
    scale: Floats,
    output_cost: Floats,
    factors: NDArray[np.float32],
    codebook: Floats,
    price: Floats,
) -> tuple[NDArray[np.int64], Floats]:
    """Choose a codebook entry for every weight, column by column, each column's error fed forward.

    A weight takes the entry for which what its error costs, made up for by later columns, and `price[entry]` together
    are least; of two as good, the one nearer to its value.

    Args:
        target: shape (rows, columns), the weights wanted.
        mask: the same shape; False takes entry 0, which is the pruned weight.
        scale: the same shape; a weight is its entry times this.
        output_cost: shape (rows,), as in `LayerStatistics`.
        factors: `triangles` of (groups, columns, columns), `LayerStatistics.row_feedback`.
        codebook: shape (entries,); entry 0 is zero.
        price: shape (entries,), nats of divergence that an entry is worth.
    Returns:
        the entries chosen and, before scaling, the values that were wanted; both of shape (rows, columns).
    Source: Frantar et al. 2022 (GPTQ), arXiv:2210.17323.
    """
    order = np.argsort(codebook, kind="stable")
    left = np.array(target, dtype=np.float64, order="C")
    indices = np.zeros(left.shape, dtype=np.int64)
    wanted = np.empty(left.shape)
    mask, scale, output_cost, factors = (as_compiled_takes(array) for array in (mask, scale, output_cost, factors))
    _choose(left, mask, scale, output_cost, factors, codebook[order], price[order], order, indices, wanted)
    return indices, wanted


def as_compiled_takes(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array as compiled code takes it: in row-major order, and not marked as read-only."""
    return np.require(array, requirements=["C", "W"])


_MATRIX = types.float64[:, ::1]
_VECTOR = types.float64[::1]


def prices(counts: NDArray[np.floating[Any]], slope: float) -> Floats:
    """Return what each entry's bits are worth, nats, by how often it is taken among those of the last dimension.

    Every count is above zero.
    """
    worth: Floats = -slope * np.log2(counts / counts.sum(-1, keepdims=True))
    return worth


@compiled(
    types.void(
        _MATRIX, types.boolean[:, ::1], _MATRIX, _VECTOR, types.float32[:, ::1], _VECTOR, _VECTOR,
        types.int64[::1], types.int64[:, ::1], _MATRIX,
    )
)  # fmt: skip
def _choose(
    left: Floats,
    mask: NDArray[np.bool_],
    scale: Floats,
    output_cost: Floats,
    factors: NDArray[np.float32],
    entries: Floats,
    price: Floats,
    order: NDArray[np.int64],
    indices: NDArray[np.int64],
    wanted: Floats,
) -> None:
    """Fill `indices` and `wanted`; `entries` ascend, and `order` gives their places in the codebook."""
    least_price = price.min()
    rows, columns = left.shape
    for row in range(rows):
        factor = factors[row * factors.shape[0] // rows]
        diagonal = 0
        for column in range(columns):
            value = left[row, column] / scale[row, column]
            wanted[row, column] = value
            chosen = 0.0
            if mask[row, column]:
                weight = 0.5 * output_cost[row] * (scale[row, column] / factor[diagonal]) ** 2
                above = np.searchsorted(entries, value)
                below = above - 1
                best, best_place = np.inf, -1
                # Outward from the value, the nearer side first, until distance alone costs more than the best.
                while below >= 0 or above < len(entries):
                    down = value - entries[below] if below >= 0 else np.inf
                    up = entries[above] - value if above < len(entries) else np.inf
                    distance, place = (down, below) if down <= up else (up, above)
                    if best_place >= 0 and weight * distance * distance + least_price >= best:
                        break
                    total = weight * distance * distance + price[place]
                    if total < best:
                        best, best_place = total, place
                    if down <= up:
                        below -= 1
                    else:
                        above += 1
                indices[row, column] = order[best_place]
                chosen = entries[best_place]
            error = (left[row, column] - chosen * scale[row, column]) / factor[diagonal]
            for after in range(1, columns - column):
                left[row, column + after] -= error * factor[diagonal + after]
            diagonal += columns - column
