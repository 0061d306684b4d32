"""Assignment of codebook entries by rate and distortion, with error feedback (GPTQ).

Source: Frantar et al. 2022 (GPTQ), arXiv:2210.17323.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from compress.quantization.viterbi import INTEGER_MATRIX, INTEGERS, MATRIX, VECTOR, Floats, Integers
from compress.runtime.jit import compiled, tuple_type

MASKS = types.boolean[:, ::1]
FACTORS = types.float32[:, ::1]


def assign_entries(
    target: Floats,
    mask: NDArray[np.bool_],
    scale: Floats,
    row_fisher: Floats,
    inverse_cholesky: NDArray[np.float32],
    codebook: Floats,
    rate_cost: Floats,
) -> tuple[Integers, Floats]:
    """Assign a codebook entry to every weight, column by column, and feed each column's error to later columns.

    Each weight takes the entry of lowest cost: of the error that later columns cannot compensate, and of the bits. Ties
    go to the entry nearer to the weight.

    Args:
        target: shape (rows, columns), the weights to approximate.
        mask: the same shape; False takes entry 0, a pruned weight.
        scale: the same shape; a weight is its entry times its scale.
        row_fisher: shape (rows,), `LayerStatistics.row_fisher`.
        inverse_cholesky: packed upper triangles of (groups, columns, columns), `LayerStatistics.row_inverse_cholesky`.
        codebook: shape (entries,); entry 0 is zero.
        rate_cost: shape (entries,), nats.
    Returns:
        the entries, and the values that they approximate: the targets after feedback, divided by `scale`. Both have
        shape (rows, columns).
    """
    order = np.argsort(codebook, kind="stable")
    remaining = np.array(target, dtype=np.float64, order="C")
    arrays = (mask, scale, row_fisher, inverse_cholesky, codebook[order], rate_cost[order], order)
    return _assign_entries(remaining, *map(compilable, arrays))


def compilable(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array in row-major order and writable, as the signatures of compiled functions require."""
    return np.require(array, requirements=["C", "W"])


@compiled(types.void(MATRIX, types.int64, types.int64, types.float64, FACTORS, types.int64, types.int64), inline=True)
def feed_error(
    remaining: Floats,
    row: int,
    column: int,
    error: float,
    inverse_cholesky: NDArray[np.float32],
    group: int,
    diagonal: int,
) -> None:
    """Let the later columns of a row compensate for the error of one weight.

    Args:
        remaining: shape (rows, columns), the targets; updated.
        row: of the weight.
        column: of the weight.
        error: target minus stored weight.
        inverse_cholesky: as in `assign_entries`.
        group: whose factor applies to the row.
        diagonal: position of the column's diagonal entry in the packed factor.
    """
    scaled = error / inverse_cholesky[group, diagonal]
    for offset in range(1, remaining.shape[1] - column):
        remaining[row, column + offset] -= scaled * inverse_cholesky[group, diagonal + offset]


@compiled(tuple_type(INTEGER_MATRIX, MATRIX)(MATRIX, MASKS, MATRIX, VECTOR, FACTORS, VECTOR, VECTOR, INTEGERS))
def _assign_entries(
    remaining: Floats,
    mask: NDArray[np.bool_],
    scale: Floats,
    row_fisher: Floats,
    inverse_cholesky: NDArray[np.float32],
    entries: Floats,
    rate_cost: Floats,
    order: Integers,
) -> tuple[Integers, Floats]:
    """Do as `assign_entries`; `entries` ascend, and `order` holds their positions in the codebook."""
    indices, approximated = np.zeros(remaining.shape, dtype=np.int64), np.empty(remaining.shape)
    min_rate_cost = rate_cost.min()
    rows, columns = remaining.shape
    for row in range(rows):
        group = row * inverse_cholesky.shape[0] // rows
        diagonal = 0
        for column in range(columns):
            value = remaining[row, column] / scale[row, column]
            approximated[row, column] = value
            chosen = 0.0
            if mask[row, column]:
                error_cost = 0.5 * row_fisher[row] * (scale[row, column] / inverse_cholesky[group, diagonal]) ** 2
                above = np.searchsorted(entries, value)
                below = above - 1
                best_cost, best = np.inf, -1
                # Outward from the value, the nearer side first, until the error alone costs more than the best entry.
                while below >= 0 or above < len(entries):
                    down = value - entries[below] if below >= 0 else np.inf
                    up = entries[above] - value if above < len(entries) else np.inf
                    error, entry = (down, below) if down <= up else (up, above)
                    if best >= 0 and error_cost * error * error + min_rate_cost >= best_cost:
                        break
                    cost = error_cost * error * error + rate_cost[entry]
                    if cost < best_cost:
                        best_cost, best = cost, entry
                    if down <= up:
                        below -= 1
                    else:
                        above += 1
                indices[row, column] = order[best]
                chosen = entries[best]
            error = remaining[row, column] - chosen * scale[row, column]
            feed_error(remaining, row, column, error, inverse_cholesky, group, diagonal)
            diagonal += columns - column
    return indices, approximated
