"""Assignment of codebook entries or trellis levels by rate and distortion, with error feedback.

Columns are assigned one after the other, and later columns compensate for the errors of earlier ones (GPTQ). Where rows
are correlated, the rows below compensate too. Within a column, each weight takes the cheapest codebook entry, or a
Viterbi search assigns levels along a trellis.

Source: Frantar et al. 2022 (GPTQ), arXiv:2210.17323; Chou, Lookabaugh & Gray 1989, "Entropy-constrained vector
quantization".
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from compress.codecs.primitives.trellis import TRELLIS_4096, Trellis, level_of
from compress.quantization.entry_search import choose_entries
from compress.quantization.viterbi import (
    MAX_INDEX,
    MAX_STATES,
    IntegerMatrix,
    Integers,
    Matrix,
    Vector,
    find_path,
)
from compress.quantization.viterbi_per_survivor import BLOCK, find_path_with_feedback
from compress.runtime.jit import compiled

Floats = NDArray[np.float64]
_Masks = Annotated[NDArray[np.bool_], types.boolean[:, ::1]]
_Factors = Annotated[NDArray[np.float32], types.float32[:, ::1]]
_Rates = Annotated[NDArray[np.float64], types.float64[:, :, ::1]]
_Counts = Annotated[NDArray[np.int64], types.int64[:, :, ::1]]
_Chosen = Annotated[NDArray[np.int32], types.int32[:, ::1]]

_NO_ENTRIES: Floats = np.zeros(0)
_NO_STATES: Integers = np.zeros(0, dtype=np.int64)


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
    levels, _, counts = _assign(layer, rate_cost, class_of_column, _NO_ENTRIES, trellis.predecessors, trellis.quantizer)
    return levels, counts


def assign_entries(
    layer: LayerArrays, rate_cost: Floats, class_of_column: Integers, entries: Floats
) -> tuple[NDArray[np.int32], Floats, NDArray[np.int64]]:
    """Assign to every weight the codebook entry of lowest cost: of the error that remains, and of the bits.

    Args:
        layer: the weights.
        rate_cost: shape (classes, entries), nats that the bits of each entry cost in the columns of a class.
        class_of_column: int64, shape (columns,), the class of each column.
        entries: shape (entries,), ascending; one of them is 0.
    Returns:
        index of the entry of each weight, int32, shape (rows, columns); the value that it approximates, which is the
        target after feedback divided by the scale; and how often each entry occurs, shaped as `rate_cost`.
    """
    no_trellis = np.zeros((0, 2), dtype=np.int64), _NO_STATES
    indices, approximated, counts = _assign(layer, rate_cost[:, None], class_of_column, entries, *no_trellis)
    return indices, approximated, counts[:, 0]


def _padded(correlation_factor: Floats | None) -> Floats:
    """Return the factor with columns padded to whole blocks, which the search reads; empty if there is none."""
    if correlation_factor is None:
        return np.zeros((0, 0))
    return np.pad(correlation_factor, ((0, 0), (0, -len(correlation_factor) % BLOCK)))


def _assign(layer: LayerArrays, *arrays: NDArray[Any]) -> tuple[Any, Any, Any]:
    remaining = np.array(layer.target, dtype=np.float64, order="C")
    inputs = *layer[1:-1], _padded(layer.correlation_factor), *arrays
    # Signatures of compiled functions require arrays in row-major order and writable.
    return _assign_columns(remaining, *(np.require(array, requirements=["C", "W"]) for array in inputs))


@compiled(inline=True)
def _feed_error(
    remaining: Matrix,
    row: int,
    column: int,
    error: float,
    inverse_cholesky: _Factors,
    group: int,
    diagonal: int,
) -> None:
    """Let the later columns of a row compensate for the error of one weight, which is target minus stored weight.

    `group` is that of the row's factor, `diagonal` the place of the column's diagonal entry in the packed factor.
    """
    scaled = error / inverse_cholesky[group, diagonal]
    for offset in range(1, remaining.shape[1] - column):
        remaining[row, column + offset] -= scaled * inverse_cholesky[group, diagonal + offset]


@compiled()
def _assign_columns(
    remaining: Matrix,
    mask: _Masks,
    scale: Matrix,
    row_fisher: Vector,
    inverse_cholesky: _Factors,
    correlation_factor: Matrix,
    rate_cost: _Rates,
    class_of_column: Integers,
    entries: Vector,
    predecessors: IntegerMatrix,
    quantizer: Integers,
) -> tuple[_Chosen, Matrix, _Counts]:
    rows, columns = remaining.shape
    states, max_index = len(quantizer), rate_cost.shape[2] // 2
    groups, correlated = inverse_cholesky.shape[0], len(correlation_factor) > 0
    chosen, approximated = np.zeros(remaining.shape, dtype=np.int32), np.empty(remaining.shape)
    counts = np.zeros(rate_cost.shape, dtype=np.int64)
    backpointers = np.zeros((rows, states), dtype=np.int16)
    survivor_index = np.zeros((len(correlation_factor), states), dtype=np.int16)
    survivor_error = np.zeros((len(correlation_factor), states))
    targets, error_costs, column_mask = np.zeros(rows), np.zeros(rows), np.zeros(rows, dtype=np.bool_)
    indices, quantizers = np.zeros(rows, dtype=np.int64), np.zeros(rows, dtype=np.int64)
    diagonal = 0
    for column in range(columns):
        column_class = class_of_column[column]
        rates = rate_cost[column_class]
        for row in range(rows):
            step = scale[row, column]
            targets[row] = remaining[row, column] / step
            error_costs[row] = 0.5 * row_fisher[row] * (step / inverse_cholesky[row * groups // rows, diagonal]) ** 2
            column_mask[row] = mask[row, column]
        if states == 0:
            choose_entries(targets, error_costs, column_mask, rates[0], entries, correlation_factor, indices)
        elif correlated:
            indices, quantizers = find_path_with_feedback(
                targets, error_costs, column_mask, rates, predecessors, quantizer, correlation_factor,
                backpointers, survivor_index, survivor_error,
            )  # fmt: skip
        else:
            indices, quantizers = find_path(
                targets, error_costs, column_mask, rates, predecessors, quantizer, backpointers
            )
        for row in range(rows):
            index = indices[row]
            if states == 0:
                chosen[row, column], value = index, entries[index]
                counts[column_class, 0, index] += 1
            else:
                level = level_of(index, quantizers[row])
                chosen[row, column], value = level, float(level)
                counts[column_class, quantizers[row], index + max_index] += 1
            approximated[row, column] = targets[row]
            error = remaining[row, column] - value * scale[row, column]
            _feed_error(remaining, row, column, error, inverse_cholesky, row * groups // rows, diagonal)
        diagonal += columns - column
    return chosen, approximated, counts
