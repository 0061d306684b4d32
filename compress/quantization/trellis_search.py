"""Assignment of levels along a trellis by rate and distortion, with error feedback.

Columns are quantized one after the other, and later columns compensate for the errors of earlier ones (GPTQ). A
Viterbi search assigns the levels of a column. Where rows are correlated, rows below compensate too.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from compress.codecs.primitives.trellis import TRELLIS_4096, Trellis, level_of
from compress.quantization.gptq import FACTORS, MASKS, compilable, feed_error
from compress.quantization.viterbi import (
    INTEGER_MATRIX,
    INTEGERS,
    MATRIX,
    MAX_INDEX,
    MAX_STATES,
    VECTOR,
    Floats,
    Integers,
    find_path,
)
from compress.quantization.viterbi_per_survivor import BLOCK, find_path_with_feedback
from compress.runtime.jit import compiled, tuple_type


def assign_levels(
    target: Floats,
    mask: NDArray[np.bool_],
    scale: Floats,
    row_fisher: Floats,
    inverse_cholesky: NDArray[np.float32],
    rate_cost: Floats,
    correlation_factor: Floats | None = None,
    trellis: Trellis = TRELLIS_4096,
) -> tuple[NDArray[np.int32], Integers]:
    """Assign a level to every weight so that every column follows the trellis.

    Args:
        target: shape (rows, columns), the weights to approximate.
        mask: the same shape; False takes level 0.
        scale: the same shape; a weight is its level times its scale.
        row_fisher: shape (rows,), `LayerStatistics.row_fisher`.
        inverse_cholesky: packed upper triangles of (groups, columns, columns), `LayerStatistics.row_inverse_cholesky`.
        rate_cost: shape (classes, 2, 2 * max_index + 1), nats that the bits of indices -max_index to max_index cost in
            each quantizer; column j belongs to class j % classes.
        correlation_factor: `LayerStatistics.correlation_inverse_cholesky`; None: rows are independent.
        trellis: to follow. Along `NO_TRELLIS` all levels are even.
    Returns:
        int32 levels, shape (rows, columns), and how often each index occurs, shaped as `rate_cost`.
    Raises:
        ValueError: the trellis has more than `MAX_STATES` states, or `rate_cost` more than `MAX_INDEX` indices.
    """
    _check_limits(trellis, rate_cost)
    remaining = np.array(target, dtype=np.float64, order="C")
    # The search reads whole blocks of rows.
    padded = (
        np.zeros((0, 0))
        if correlation_factor is None
        else np.pad(correlation_factor, ((0, 0), (0, -len(correlation_factor) % BLOCK)))
    )
    arrays = (mask, scale, row_fisher, inverse_cholesky, rate_cost, trellis.predecessors, trellis.quantizer, padded)
    return _assign_levels(remaining, *map(compilable, arrays))


def _check_limits(trellis: Trellis, rate_cost: Floats) -> None:
    states, max_index = len(trellis.quantizer), rate_cost.shape[-1] // 2
    if states > MAX_STATES or max_index > MAX_INDEX:
        limits = f"at most {MAX_STATES:,} states and indices up to {MAX_INDEX:,}"
        raise ValueError(f"{states:,} states and indices up to {max_index:,}; the Viterbi search takes {limits}")


@compiled(
    tuple_type(types.int32[:, ::1], types.int64[:, :, ::1])(
        MATRIX, MASKS, MATRIX, VECTOR, FACTORS, types.float64[:, :, ::1], INTEGER_MATRIX, INTEGERS, MATRIX
    )
)
def _assign_levels(
    remaining: Floats,
    mask: NDArray[np.bool_],
    scale: Floats,
    row_fisher: Floats,
    inverse_cholesky: NDArray[np.float32],
    rate_cost: Floats,
    predecessors: Integers,
    quantizer: Integers,
    correlation_factor: Floats,
) -> tuple[NDArray[np.int32], Integers]:
    rows, columns = remaining.shape
    states, classes, max_index = len(quantizer), len(rate_cost), rate_cost.shape[2] // 2
    groups = inverse_cholesky.shape[0]
    levels, counts = np.zeros(remaining.shape, dtype=np.int32), np.zeros(rate_cost.shape, dtype=np.int64)
    backpointers = np.zeros((rows, states), dtype=np.int16)
    survivor_index = np.zeros((len(correlation_factor), states), dtype=np.int16)
    survivor_error = np.zeros((len(correlation_factor), states))
    targets, error_costs, column_mask = np.zeros(rows), np.zeros(rows), np.zeros(rows, dtype=np.bool_)
    diagonal = 0
    for column in range(columns):
        column_class = column % classes
        for row in range(rows):
            step = scale[row, column]
            targets[row] = remaining[row, column] / step
            error_costs[row] = 0.5 * row_fisher[row] * (step / inverse_cholesky[row * groups // rows, diagonal]) ** 2
            column_mask[row] = mask[row, column]
        if len(correlation_factor) > 0:
            indices, quantizers = find_path_with_feedback(
                targets, error_costs, column_mask, rate_cost[column_class], predecessors, quantizer, correlation_factor,
                backpointers, survivor_index, survivor_error,
            )  # fmt: skip
        else:
            indices, quantizers = find_path(
                targets, error_costs, column_mask, rate_cost[column_class], predecessors, quantizer, backpointers
            )
        for row in range(rows):
            levels[row, column] = level_of(indices[row], quantizers[row])
            counts[column_class, quantizers[row], indices[row] + max_index] += 1
            error = remaining[row, column] - levels[row, column] * scale[row, column]
            feed_error(remaining, row, column, error, inverse_cholesky, row * groups // rows, diagonal)
        diagonal += columns - column
    return levels, counts
