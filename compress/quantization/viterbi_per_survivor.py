"""Viterbi search with per-survivor processing: the rows below compensate the errors of the rows above.

Each survivor shifts the targets of the rows below by its own errors. Survivors share their early rows: traced back,
they soon meet in one state, the merge point. So errors before the merge point are summed once, and each survivor
tracks its shifts for one block of rows only.

Source: Raheli, Polydoros & Tzou 1995, "Per-survivor processing".
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from compress.codecs.primitives.trellis import level_of
from compress.quantization.viterbi import (
    Backpointers,
    IntegerMatrix,
    Integers,
    Mask,
    Matrix,
    Vector,
    find_candidates,
    select_survivors,
)
from compress.runtime.jit import Contiguous, compiled

BLOCK = 16
"""Rows for which each survivor tracks the shift of the targets."""

_States = Annotated[NDArray[np.uint16], Contiguous(2)]


@compiled(inline=True)
def _feed_error(
    row: int,
    block: int,
    source: int,
    state: int,
    error: float,
    correlation_factor: Matrix,
    shift: Matrix,
    next_shift: Matrix,
) -> None:
    """Write a state's shifts of a block of targets: the shifts of its predecessor `source`, and a row's error."""
    unsigned_row, unsigned_block = np.uintp(row), np.uintp(block)
    unsigned_source, unsigned_state = np.uintp(source), np.uintp(state)
    for offset in range(shift.shape[1]):  # signed indices, or a constant length, take twice as long
        at = np.uintp(offset)
        fed = error * correlation_factor[unsigned_row, unsigned_block + at]
        next_shift[unsigned_state, at] = shift[unsigned_source, at] + fed


@compiled(allocates=True)
def _trace_back(
    row: int, merged: int, path_metric: Vector, backpointers: Backpointers
) -> tuple[int, _States, Integers]:
    """Trace all survivors back to their merge point.

    Args:
        row: the next row.
        merged: row of an earlier merge point.
        path_metric: shape (states,); infinite where no path leads to the state.
        backpointers: shape (rows, states).
    Returns:
        the row of the merge point; the states before each row from the merge point on, and the one state before each
        row from `merged` to there, shape (row + 1, states); and the number of these states, shape (row + 1,).
    """
    on_survivor, count = np.empty((row + 1, len(path_metric)), dtype=np.uint16), np.zeros(row + 1, dtype=np.int64)
    for state in range(len(path_metric)):
        if path_metric[state] < np.inf:
            on_survivor[row, count[row]] = state
            count[row] += 1
    seen_before = np.full(len(path_metric), -1, dtype=np.int64)
    merge = row
    while count[merge] > 1 and merge > merged:
        merge -= 1
        for place in range(count[merge + 1]):
            previous = int(backpointers[merge, on_survivor[merge + 1, place]]) >> 1
            if seen_before[previous] != merge:
                seen_before[previous] = merge
                on_survivor[merge, count[merge]] = previous
                count[merge] += 1
    for earlier in range(merge - 1, merged - 1, -1):
        on_survivor[earlier, 0] = backpointers[earlier, on_survivor[earlier + 1, 0]] >> 1
    return merge, on_survivor, count


@compiled(allocates=True)
def _begin_block(
    block: int,
    merged: int,
    path_metric: Vector,
    backpointers: Backpointers,
    survivor_error: Matrix,
    correlation_factor: Matrix,
    common_shift: Vector,
) -> tuple[int, Matrix]:
    """Compute how each survivor shifts the targets of a block.

    Errors are added in the order of their rows: the sums equal, to the bit, the sums of survivors that track all rows.

    `merged` is the row of the last merge point. `common_shift`, shape (rows,) up to a whole block, is updated: the
    shift of each target by errors before the merge point. Other arguments as in `find_path_with_feedback`.

    Returns:
        the row of the new merge point, and the shifts, shape (states, BLOCK).
    """
    merge, on_survivor, count = _trace_back(block, merged, path_metric, backpointers)
    for row in range(merged, merge):
        error = survivor_error[row, on_survivor[row + 1, 0]]
        for later in range(block, len(common_shift)):
            common_shift[later] += error * correlation_factor[row, later]
    shift, next_shift = np.zeros((len(path_metric), BLOCK)), np.zeros((len(path_metric), BLOCK))
    shift[on_survivor[merge, 0]] = common_shift[block : block + BLOCK]
    for row in range(merge, block):
        for place in range(count[row + 1]):
            state = on_survivor[row + 1, place]
            source = int(backpointers[row, state]) >> 1
            _feed_error(row, block, source, state, survivor_error[row, state], correlation_factor, shift, next_shift)
        shift, next_shift = next_shift, shift
    return merge, shift


@compiled(allocates=True)
def find_path_with_feedback(
    targets: Vector,
    error_costs: Vector,
    mask: Mask,
    rate_cost: Matrix,
    predecessors: IntegerMatrix,
    quantizer: Integers,
    correlation_factor: Matrix,
    backpointers: Backpointers,
    survivor_index: Backpointers,
    survivor_error: Matrix,
) -> tuple[Integers, Integers]:
    """Do as `viterbi.find_path` for a column whose rows are correlated.

    `correlation_factor` is `LayerStatistics.correlation_inverse_cholesky`, its columns padded to whole blocks. Of shape
    (rows, states) are the workspaces `survivor_index`, the index that led to each state on its survivor, and
    `survivor_error`, the error of this index in square roots of its cost.

    Returns:
        as `find_path`.
    """
    rows, states = len(targets), len(quantizer)
    index, cost = np.zeros((2, states), dtype=np.int64), np.zeros((2, states))
    largest, shifted, path_metric = np.zeros(states), np.zeros(states), np.full(states, np.inf)
    transition_metric, common_shift = np.zeros(2 * states), np.zeros(correlation_factor.shape[1])
    shift, next_shift = np.zeros((states, BLOCK)), np.zeros((states, BLOCK))
    indices, quantizers = np.zeros(rows, dtype=np.int64), np.zeros(rows, dtype=np.int64)
    merge = 0
    path_metric[0] = 0.0
    for row in range(rows):
        block = row - row % BLOCK
        if row == block > 0:
            merge, block_shift = _begin_block(
                block, merge, path_metric, backpointers, survivor_error, correlation_factor, common_shift
            )
            shift[:] = block_shift  # a copy: loops over an array that is replaced take 5% longer
        diagonal, unit = correlation_factor[row, row], np.sqrt(error_costs[row])
        error_cost = error_costs[row] / diagonal**2
        for state in range(states):
            shifted[state] = targets[row] - (shift[state, row - block] / unit if unit > 0 else 0.0)
        find_candidates(shifted, error_cost, mask[row], quantizer, rate_cost, largest, index, cost)
        for state in range(states):
            transition_metric[2 * state] = path_metric[state] + cost[0, state]
            transition_metric[2 * state + 1] = path_metric[state] + cost[1, state]
        select_survivors(row, transition_metric, predecessors, backpointers, path_metric)
        for state in range(states):
            transition = int(backpointers[row, state])
            source = transition >> 1
            chosen = index[transition & 1, source]
            survivor_index[row, state] = chosen
            survivor_error[row, state] = (shifted[source] - level_of(chosen, quantizer[source])) * unit / diagonal
        for state in range(states):
            source = int(backpointers[row, state]) >> 1
            _feed_error(row, block, source, state, survivor_error[row, state], correlation_factor, shift, next_shift)
        shift, next_shift = next_shift, shift
    state = int(np.argmin(path_metric))
    for row in range(rows - 1, -1, -1):
        indices[row] = survivor_index[row, state]
        state = int(backpointers[row, state]) >> 1
        quantizers[row] = quantizer[state]
    return indices, quantizers
