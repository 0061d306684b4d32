"""The best path through a trellis where the errors of a column's rows are made up for by the rows below; compiled.

Each path moves what the rows below want in a way of its own. Of that, little is kept: paths that are still in question
differ in their last rows alone, as looking back they soon meet.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from compress.codecs.primitives.trellis import level_of
from compress.quantization.viterbi import TRIED, take_better_ways
from compress.runtime.jit import compiled

Floats = NDArray[np.float64]

BLOCK = 16
"""Rows for which is kept how the path to each state has moved what they want; for those after them it is found when
their turn comes."""

_MATRIX = types.float64[:, ::1]
_VECTOR = types.float64[::1]
_NUMBERS = types.int64[:, ::1]
_WAYS = types.int16[:, ::1]
_STATES = types.uint16[:, ::1]


@compiled(types.void(_VECTOR, types.float64, types.boolean, types.int64[::1], _MATRIX, _VECTOR, _NUMBERS, _MATRIX))
def _best_indices_of_all(
    wanted: Floats,
    weight: float,
    mask: bool,
    quantizer: NDArray[np.int64],
    price: Floats,
    nearest: Floats,
    index: NDArray[np.int64],
    cost: Floats,
) -> None:
    """Find for each state, which wants a value of its own, and each parity the index that costs least, and its cost.

    The same are tried as in `paths`, but one for all states at a time, so that there are no branches. `index` and
    `cost` have the shape (2, states); `nearest`, shape (states,), is room for work.
    """
    most = price.shape[1] // 2
    for state in range(len(wanted)):
        zero = price[1, most] if quantizer[state] else price[0, most]
        cost[0, state] = weight * wanted[state] * wanted[state] + zero
        cost[1, state] = np.inf
        index[0, state] = index[1, state] = 0
    if not mask:
        return
    for state in range(len(wanted)):
        size = np.rint((abs(wanted[state]) + (1.0 if quantizer[state] else 0.0)) / 2) + 1
        nearest[state] = size if wanted[state] > 0 else -size
    for side in (-1, 1):
        least, largest = float(most + TRIED), 0.0
        for state in range(len(wanted)):
            size = side * nearest[state]
            least, largest = (min(least, size) if size > 0 else least), max(largest, size)
        for magnitude in range(int(min(largest, most)), max(int(least) - TRIED, 0), -1):
            tried = side * magnitude
            price_0, price_1 = price[0, tried + most], price[1, tried + most]
            costs, indices = cost[tried & 1], index[tried & 1]
            level_0, level_1 = float(level_of(tried, 0)), float(level_of(tried, 1))
            first, beyond = float(magnitude), float(magnitude + TRIED)
            for state in range(len(wanted)):
                off = wanted[state] - (level_1 if quantizer[state] else level_0)
                total = weight * off * off + (price_1 if quantizer[state] else price_0)
                size = side * nearest[state]
                better = (total < costs[state]) & (size >= first) & (size < beyond)
                costs[state] = total if better else costs[state]
                indices[state] = tried if better else indices[state]


@compiled(
    types.void(
        types.int64, types.int64, types.int64, types.int64, types.float64, _MATRIX, _MATRIX, _MATRIX,
    ),
    inline=True,
)  # fmt: skip
def _add_error(
    row: int,
    begin: int,
    before: int,
    reached: int,
    error: float,
    coupling: Floats,
    moved: Floats,
    moved_after: Floats,
) -> None:
    """Move what the rows of a block want on the way from one state to the next, by an error in a row."""
    here, there, source, to = np.uintp(row), np.uintp(begin), np.uintp(before), np.uintp(reached)
    for later in range(moved.shape[1]):  # with signed numbers, or a constant here, it takes twice as long
        at = np.uintp(later)
        moved_after[to, at] = moved[source, at] + error * coupling[here, there + at]


@compiled(types.int64(types.int64, types.int64, _VECTOR, _WAYS, _STATES, types.int64[::1]))
def _look_back(
    begin: int,
    done: int,
    total: Floats,
    ways: NDArray[np.int16],
    on_path: NDArray[np.uint16],
    count: NDArray[np.int64],
) -> int:
    """Find the states that paths go through, from `begin` back to a row before which they are all in the same one.

    Args:
        begin: the next row.
        done: a row before which they are known to be in the same state.
        total: shape (states,), what the path to each state costs; infinite where there is none.
        ways: shape (rows, states), as in `best_path`.
        on_path: shape (rows + 1, states), to fill: the states before each row, from the one found on; and the one
            before each row from `done` to there.
        count: shape (rows + 1,), to fill: how many these are.
    Returns:
        the row.
    """
    count[begin] = 0
    for state in range(len(total)):
        if total[state] < np.inf:
            on_path[begin, count[begin]] = state
            count[begin] += 1
    seen = np.full(len(total), -1, dtype=np.int64)
    meet = begin
    while count[meet] > 1 and meet > done:
        meet -= 1
        count[meet] = 0
        for place in range(count[meet + 1]):
            state = int(on_path[meet + 1, place])
            before = int(ways[meet, state]) >> 1
            if seen[before] != meet:
                seen[before] = meet
                on_path[meet, count[meet]] = before
                count[meet] += 1
    for row in range(meet - 1, done - 1, -1):
        state = int(on_path[row + 1, 0])
        on_path[row, 0] = ways[row, state] >> 1
    return meet


@compiled(
    types.int64(
        types.int64, types.int64, _VECTOR, _WAYS, _MATRIX, _MATRIX, _VECTOR, _MATRIX, _MATRIX, _STATES,
        types.int64[::1],
    )
)  # fmt: skip
def _begin_block(
    begin: int,
    done: int,
    total: Floats,
    ways: NDArray[np.int16],
    error_to: Floats,
    coupling: Floats,
    shared: Floats,
    moved: Floats,
    moved_after: Floats,
    on_path: NDArray[np.uint16],
    count: NDArray[np.int64],
) -> int:
    """Find how the path to each state has moved what the rows of a block want, by the errors of all rows before.

    Those before which all paths are in the same state are added up but once. What is added to a row is added in the
    order of the rows that it is from: so it is the same to the bit as if each path kept it for all rows.

    Args:
        begin: the block's first row.
        done: rows whose errors are in `shared`, which all paths have in common.
        total: as in `_look_back`.
        ways: as in `best_path`.
        error_to: as in `best_coupled_path`.
        coupling: the same.
        shared: shape (whole blocks,), how the errors that all have in common have moved what each row wants.
        moved: shape (states, BLOCK), to fill.
        moved_after: room of the same shape.
        on_path: room, as in `_look_back`.
        count: the same.
    Returns:
        `done` as it is now.
    """
    meet = _look_back(begin, done, total, ways, on_path, count)
    for row in range(done, meet):
        error = error_to[row, on_path[row + 1, 0]]
        for later in range(begin, len(shared)):
            shared[later] += error * coupling[row, later]
    moved[:] = 0.0
    moved_after[:] = 0.0  # states that no path leads to are reckoned with too
    moved[on_path[meet, 0]] = shared[begin : begin + BLOCK]
    for row in range(meet, begin):
        for place in range(count[row + 1]):
            to = on_path[row + 1, place]
            source, error = int(ways[row, to]) >> 1, error_to[row, to]
            _add_error(row, begin, source, to, error, coupling, moved, moved_after)
        moved, moved_after = moved_after, moved
    if (begin - meet) % 2:
        moved_after[:] = moved
    return meet


@compiled(
    types.void(
        _VECTOR, _VECTOR, types.boolean[::1], _MATRIX, _NUMBERS, types.int64[::1], _MATRIX, _WAYS, types.int16[:, ::1],
        _MATRIX, types.int64[::1], types.int64[::1],
    )
)  # fmt: skip
def best_coupled_path(
    values: Floats,
    weights: Floats,
    mask: NDArray[np.bool_],
    price: Floats,
    arrivals: NDArray[np.int64],
    quantizer: NDArray[np.int64],
    coupling: Floats,
    ways: NDArray[np.int16],
    index_to: NDArray[np.int16],
    error_to: Floats,
    indices: NDArray[np.int64],
    quantizers: NDArray[np.int64],
) -> None:
    """Do as `best_path` where errors are made up for by the rows below.

    `coupling` has columns up to a whole number of blocks; those beyond the rows stand for nothing. `index_to` and
    `error_to`, of the shape of `ways`, are room for work too: for every row the index that led to each state on its
    path, and the error that it made, in roots of what errors cost.
    """
    rows, states = len(values), len(quantizer)
    index, cost = np.zeros((2, states), dtype=np.int64), np.zeros((2, states))
    nearest, wanted, total, through = np.zeros(states), np.zeros(states), np.full(states, np.inf), np.zeros(2 * states)
    moved, moved_after = np.zeros((states, BLOCK)), np.zeros((states, BLOCK))
    shared = np.zeros(coupling.shape[1])
    on_path, count = np.zeros((rows + 1, states), dtype=np.uint16), np.zeros(rows + 1, dtype=np.int64)
    done = 0
    total[0] = 0.0
    for row in range(rows):
        begin = row - row % BLOCK
        if row == begin > 0:
            done = _begin_block(row, done, total, ways, error_to, coupling, shared, moved, moved_after, on_path, count)
        own, unit = coupling[row, row], np.sqrt(weights[row])
        weight = weights[row] / own**2
        for state in range(states):
            wanted[state] = values[row] - (moved[state, row - begin] / unit if unit > 0 else 0.0)
        _best_indices_of_all(wanted, weight, mask[row], quantizer, price, nearest, index, cost)
        for state in range(states):
            through[2 * state] = total[state] + cost[0, state]
            through[2 * state + 1] = total[state] + cost[1, state]
        take_better_ways(row, through, arrivals, ways, total)
        for reached in range(states):
            way = int(ways[row, reached])
            before = way >> 1
            index_to[row, reached] = index[way & 1, before]
            error_to[row, reached] = (wanted[before] - level_of(index[way & 1, before], quantizer[before])) * unit / own
        for reached in range(states):
            before = int(ways[row, reached]) >> 1
            _add_error(row, begin, before, reached, error_to[row, reached], coupling, moved, moved_after)
        moved, moved_after = moved_after, moved
    state = int(np.argmin(total))
    for row in range(rows - 1, -1, -1):
        indices[row] = index_to[row, state]
        state = int(ways[row, state]) >> 1
        quantizers[row] = quantizer[state]
