"""Assignment of codebook entries or trellis levels by rate and distortion, with error feedback.

Later columns compensate for the errors of earlier ones (GPTQ). Where rows are correlated, the rows below compensate
too. Codebook entries are assigned row by row (`entry_search`), levels along a trellis column by column: a Viterbi
search assigns each column, from the first to the last.

Source: Frantar et al. 2022 (GPTQ), arXiv:2210.17323.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from compress.codecs.primitives.trellis import TRELLIS_4096, Trellis, level_of
from compress.quantization.entry_search import Chosen, Factors, Masks, default_survivors, search_rows
from compress.quantization.viterbi import MAX_INDEX, MAX_STATES, IntegerMatrix, Integers, Matrix, Vector, find_path
from compress.quantization.viterbi_per_survivor import BLOCK, find_path_with_feedback
from compress.runtime.jit import Contiguous, compiled

Floats = NDArray[np.float64]
_Rates = Annotated[NDArray[np.float64], Contiguous(3)]
_Counts = Annotated[NDArray[np.int64], Contiguous(3)]


class LayerArrays(NamedTuple):
    """The weights of a layer to assign, and the cost of errors in them.

    Attributes:
        target: shape (rows, columns), the weights to approximate.
        mask: the same shape; False takes level 0, or the entry 0.
        scale: the same shape; a weight is its level, or its entry, times its scale.
        row_fisher: shape (rows,), `LayerStatistics.row_fisher`.
        inverse_cholesky: packed upper triangles of (groups, columns, columns), `LayerStatistics.row_inverse_cholesky`.
        correlation_factor: `LayerStatistics.correlation_inverse_cholesky`; None: rows are independent.
    """

    target: Floats
    mask: NDArray[np.bool_]
    scale: Floats
    row_fisher: Floats
    inverse_cholesky: NDArray[np.float32]
    correlation_factor: Floats | None = None


def assign_levels(
    layer: LayerArrays, rate_cost: Floats, trellis: Trellis = TRELLIS_4096
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Assign a level to every weight so that every column follows a trellis.

    Args:
        layer: the weights.
        rate_cost: shape (classes, 2, 2 * max_index + 1), nats that the bits of indices -max_index to max_index cost in
            each quantizer; column j belongs to class j % classes.
        trellis: to follow.
    Returns:
        int32 levels, shape (rows, columns), and how often each index occurs, shaped as `rate_cost`.
    Raises:
        ValueError: the trellis has more than `MAX_STATES` states, or `rate_cost` more than `MAX_INDEX` indices.
    """
    states, max_index = len(trellis.quantizer), rate_cost.shape[-1] // 2
    if states > MAX_STATES or max_index > MAX_INDEX:
        limits = f"at most {MAX_STATES:,} states and indices up to {MAX_INDEX:,}"
        raise ValueError(f"{states:,} states and indices up to {max_index:,}; the Viterbi search takes {limits}")
    class_of_column = np.arange(layer.target.shape[1]) % len(rate_cost)
    remaining = np.array(layer.target, dtype=np.float64, order="C")
    factor = _padded(layer.correlation_factor)
    arrays = *layer[1:-1], factor, rate_cost, class_of_column, trellis.predecessors, trellis.quantizer
    return _assign_columns(remaining, *map(_in_order, arrays))


def assign_entries(
    layer: LayerArrays,
    rate_cost: Floats,
    class_of_column: Integers,
    entries: Floats,
    max_survivors: int | None = None,
) -> tuple[NDArray[np.int32], Floats, NDArray[np.int64]]:
    """Assign a codebook entry to every weight, so that errors and bits cost little in sum.

    Args:
        layer: the weights.
        rate_cost: shape (classes, entries), nats that the bits of each entry cost in the columns of a class.
        class_of_column: int64, shape (columns,), the class of each column.
        entries: shape (entries,), ascending; one of them is 0.
        max_survivors: number of paths that the search keeps in each row; 1: each weight takes the cheapest entry. None:
            `default_survivors`.
    Returns:
        index of the entry of each weight, int32, shape (rows, columns); the value that it approximates, which is the
        target after feedback divided by the scale; and how often each entry occurs, shaped as `rate_cost`.
    """
    factor = np.zeros((0, 0)) if layer.correlation_factor is None else layer.correlation_factor
    arrays = *layer[:-1], factor, rate_cost, class_of_column, entries
    survivors = max_survivors or default_survivors(layer.target.shape[1])
    inputs: tuple[Any, ...] = *map(_in_order, arrays), survivors
    return search_rows(*inputs)


def _in_order(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array as signatures of compiled functions require it: in row-major order and writable."""
    return np.require(array, requirements=["C", "W"])


def _padded(correlation_factor: Floats | None) -> Floats:
    """Return the factor with columns padded to whole blocks, which the search reads; empty if there is none."""
    if correlation_factor is None:
        return np.zeros((0, 0))
    return np.pad(correlation_factor, ((0, 0), (0, -len(correlation_factor) % BLOCK)))


@compiled(inline=True)
def _feed_error(
    remaining: Matrix, row: int, column: int, error: float, inverse_cholesky: Factors, group: int, diagonal: int
) -> None:
    """Let the later columns of a row compensate for the error of one weight, which is target minus stored weight.

    `group` is that of the row's factor, `diagonal` the place of the column's diagonal entry in the packed factor.
    """
    scaled = error / inverse_cholesky[group, diagonal]
    for offset in range(1, remaining.shape[1] - column):
        remaining[row, column + offset] -= scaled * inverse_cholesky[group, diagonal + offset]


@compiled(allocates=True)
def _assign_columns(
    remaining: Matrix,
    mask: Masks,
    scale: Matrix,
    row_fisher: Vector,
    inverse_cholesky: Factors,
    correlation_factor: Matrix,
    rate_cost: _Rates,
    class_of_column: Integers,
    predecessors: IntegerMatrix,
    quantizer: Integers,
) -> tuple[Chosen, _Counts]:
    rows, columns = remaining.shape
    states, max_index = len(quantizer), rate_cost.shape[2] // 2
    groups, correlated = inverse_cholesky.shape[0], len(correlation_factor) > 0
    chosen = np.zeros(remaining.shape, dtype=np.int32)
    counts = np.zeros(rate_cost.shape, dtype=np.int64)
    backpointers = np.zeros((rows, states), dtype=np.int16)
    survivor_index = np.zeros((len(correlation_factor), states), dtype=np.int16)
    survivor_error = np.zeros((len(correlation_factor), states))
    targets, error_costs, column_mask = np.zeros(rows), np.zeros(rows), np.zeros(rows, dtype=np.bool_)
    diagonal = 0
    for column in range(columns):
        column_class = class_of_column[column]
        rates = rate_cost[column_class]
        for row in range(rows):
            step = scale[row, column]
            targets[row] = remaining[row, column] / step
            error_costs[row] = 0.5 * row_fisher[row] * (step / inverse_cholesky[row * groups // rows, diagonal]) ** 2
            column_mask[row] = mask[row, column]
        if correlated:
            indices, quantizers = find_path_with_feedback(
                targets, error_costs, column_mask, rates, predecessors, quantizer, correlation_factor,
                backpointers, survivor_index, survivor_error,
            )  # fmt: skip
        else:
            indices, quantizers = find_path(
                targets, error_costs, column_mask, rates, predecessors, quantizer, backpointers
            )
        for row in range(rows):
            level = level_of(indices[row], quantizers[row])
            chosen[row, column] = level
            counts[column_class, quantizers[row], indices[row] + max_index] += 1
            error = remaining[row, column] - level * scale[row, column]
            _feed_error(remaining, row, column, error, inverse_cholesky, row * groups // rows, diagonal)
        diagonal += columns - column
    return chosen, counts
