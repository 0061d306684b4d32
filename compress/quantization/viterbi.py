"""Viterbi search for the path of lowest rate-distortion cost down one column.

Two transitions lead into each state. The search keeps the cheaper one, the survivor, and stores it as a backpointer:
2 * previous state + parity of the index, as in `Trellis.predecessors`. Ties go to the lower previous state, then to
the even index.

Source: Forney 1973, "The Viterbi algorithm".
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from compress.codecs.primitives.trellis import level_of
from compress.runtime.jit import Contiguous, compiled

CANDIDATES = 7
"""Indices tried for a value, from one beyond the nearest towards zero: the bits that a smaller index saves are rarely
worth its error."""

MAX_STATES = 2**14
"""Limit of int16 backpointers."""

MAX_INDEX = 2**15 - 1
"""Limit of int16 indices of survivors."""

Vector = Annotated[NDArray[np.float64], Contiguous(1)]
Matrix = Annotated[NDArray[np.float64], Contiguous(2)]
Integers = Annotated[NDArray[np.int64], Contiguous(1)]
IntegerMatrix = Annotated[NDArray[np.int64], Contiguous(2)]
Mask = Annotated[NDArray[np.bool_], Contiguous(1)]
Backpointers = Annotated[NDArray[np.int16], Contiguous(2)]


@compiled()
def find_candidates(
    targets: Vector,
    error_cost: float,
    mask: bool,
    quantizer: Integers,
    rate_cost: Matrix,
    largest: Vector,
    index: IntegerMatrix,
    cost: Matrix,
) -> None:
    """Find the cheapest index of each parity for several target values, each in its own quantizer.

    The inner loop runs over the targets without branches, so that the compiler can vectorize it.

    Args:
        targets: shape (n,), in steps.
        error_cost: nats that a squared error of 1 costs.
        mask: False allows index 0 only.
        quantizer: shape (n,), 0 or 1.
        rate_cost: shape (2, 2 * max_index + 1), nats that the bits of each quantizer's indices cost.
        largest: workspace, shape (n,).
        index: output, shape (2, n), for even and odd parity.
        cost: output, shape (2, n), nats; infinite where no index has the parity.
    """
    max_index = rate_cost.shape[1] // 2
    for place in range(len(targets)):
        zero_rate = rate_cost[1, max_index] if quantizer[place] else rate_cost[0, max_index]
        cost[0, place] = error_cost * targets[place] * targets[place] + zero_rate
        cost[1, place] = np.inf
        index[0, place] = index[1, place] = 0
    if not mask:
        return
    for place in range(len(targets)):
        magnitude = np.rint((abs(targets[place]) + (1.0 if quantizer[place] else 0.0)) / 2) + 1
        largest[place] = magnitude if targets[place] > 0 else -magnitude
    for sign in (-1, 1):
        low, high = float(max_index + CANDIDATES), 0.0
        for place in range(len(targets)):
            magnitude = sign * largest[place]
            low, high = (min(low, magnitude) if magnitude > 0 else low), max(high, magnitude)
        for candidate in range(int(min(high, max_index)), max(int(low) - CANDIDATES, 0), -1):
            signed = sign * candidate
            rate_0, rate_1 = rate_cost[0, signed + max_index], rate_cost[1, signed + max_index]
            costs, indices = cost[signed & 1], index[signed & 1]
            level_0, level_1 = float(level_of(signed, 0)), float(level_of(signed, 1))
            first, end = float(candidate), float(candidate + CANDIDATES)
            for place in range(len(targets)):
                error = targets[place] - (level_1 if quantizer[place] else level_0)
                total = error_cost * error * error + (rate_1 if quantizer[place] else rate_0)
                magnitude = sign * largest[place]
                better = (total < costs[place]) & (magnitude >= first) & (magnitude < end)
                costs[place] = total if better else costs[place]
                indices[place] = signed if better else indices[place]


@compiled(inline=True)
def select_survivors(
    row: int, transition_metric: Vector, predecessors: IntegerMatrix, backpointers: Backpointers, path_metric: Vector
) -> None:
    """Keep the cheaper transition into each state.

    Args:
        row: of the column.
        transition_metric: shape (2 * states,), cost of the path through each transition, numbered as in `predecessors`.
        predecessors: `Trellis.predecessors`.
        backpointers: output, shape (rows, states), one row of it.
        path_metric: output, shape (states,), cost of the survivor into each state.
    """
    for state in range(len(path_metric)):
        first, second = transition_metric[predecessors[state, 0]], transition_metric[predecessors[state, 1]]
        backpointers[row, state] = predecessors[state, 1] if second < first else predecessors[state, 0]
        path_metric[state] = second if second < first else first


@compiled(allocates=True)
def find_path(
    targets: Vector,
    error_costs: Vector,
    mask: Mask,
    rate_cost: Matrix,
    predecessors: IntegerMatrix,
    quantizer: Integers,
    backpointers: Backpointers,
) -> tuple[Integers, Integers]:
    """Return the path of lowest cost down a column whose errors are independent.

    Args:
        targets: shape (rows,), in steps.
        error_costs: shape (rows,), nats that a squared error of 1 costs.
        mask: shape (rows,); False allows index 0 only.
        rate_cost: as in `find_candidates`.
        predecessors: `Trellis.predecessors`.
        quantizer: `Trellis.quantizer`.
        backpointers: workspace, shape (rows, states).
    Returns:
        indices and their quantizers, shape (rows,).
    """
    rows, states = len(targets), len(quantizer)
    indices, quantizers = np.zeros(rows, dtype=np.int64), np.zeros(rows, dtype=np.int64)
    index, cost = np.zeros((rows, 2, 2), dtype=np.int64), np.zeros((2, 2))
    pair, both_quantizers, largest = np.zeros(2), np.arange(2), np.zeros(2)
    path_metric, transition_metric = np.full(states, np.inf), np.zeros(2 * states)
    path_metric[0] = 0.0
    for row in range(rows):
        pair[:] = targets[row]
        find_candidates(pair, error_costs[row], mask[row], both_quantizers, rate_cost, largest, index[row], cost)
        even_0, even_1, odd_0, odd_1 = cost[0, 0], cost[0, 1], cost[1, 0], cost[1, 1]
        for state in range(states):
            transition_metric[2 * state] = path_metric[state] + (even_1 if quantizer[state] else even_0)
            transition_metric[2 * state + 1] = path_metric[state] + (odd_1 if quantizer[state] else odd_0)
        select_survivors(row, transition_metric, predecessors, backpointers, path_metric)
    state = int(np.argmin(path_metric))
    for row in range(rows - 1, -1, -1):
        transition = int(backpointers[row, state])
        state = transition >> 1
        quantizers[row] = quantizer[state]
        indices[row] = index[row, transition & 1, quantizer[state]]
    return indices, quantizers
