"""The path through a trellis, down one column, whose errors and prices are least; compiled."""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from compress.codecs.trellis import level_of
from compress.compiled import compiled

Floats = NDArray[np.float64]

_TRIED = 7
"""Indices tried from the nearest one towards zero: the bits that a smaller one saves are rarely worth more."""

_MATRIX = types.float64[:, ::1]
_VECTOR = types.float64[::1]
_NUMBERS = types.int64[:, ::1]


@compiled(types.void(types.float64, types.float64, types.boolean, types.int64, _MATRIX, _NUMBERS, _MATRIX))
def _best_indices(
    value: float,
    weight: float,
    kept: bool,
    which: int,
    price: Floats,
    index: NDArray[np.int64],
    cost: Floats,
) -> None:
    """Find for a quantizer and each parity the index that costs least, and what it costs: row `which` of each."""
    most = price.shape[1] // 2
    side = 1 if value > 0 else -1
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
        types.int64, types.int64, types.int64, _VECTOR, _MATRIX, _NUMBERS, _NUMBERS, _VECTOR, _NUMBERS, _NUMBERS,
    ),
    inline=True,
)  # fmt: skip
def _go_on(
    row: int,
    state: int,
    which: int,
    total: Floats,
    cost: Floats,
    index: NDArray[np.int64],
    next_state: NDArray[np.int64],
    after: Floats,
    index_to: NDArray[np.int64],
    state_before: NDArray[np.int64],
) -> None:
    """Go on from a state, of quantizer `which`, to those that follow it, where no other path to them is as good."""
    for parity in range(2):
        reached = next_state[state, parity]
        if total[state] + cost[which, parity] < after[reached]:
            after[reached] = total[state] + cost[which, parity]
            index_to[row, reached] = index[which, parity]
            state_before[row, reached] = state


@compiled(
    types.void(
        _NUMBERS, _NUMBERS, types.int64[::1], types.int64, types.int64[::1], types.int64[::1]
    )
)  # fmt: skip
def _trace_back(
    index_to: NDArray[np.int64],
    state_before: NDArray[np.int64],
    quantizer: NDArray[np.int64],
    state: int,
    indices: NDArray[np.int64],
    quantizers: NDArray[np.int64],
) -> None:
    """Find the indices, and their quantizers, of the path that ends in a state."""
    for row in range(len(indices) - 1, -1, -1):
        indices[row] = index_to[row, state]
        state = state_before[row, state]
        quantizers[row] = quantizer[state]


@compiled(
    types.void(
        _VECTOR, _VECTOR, types.boolean[::1], _MATRIX, _NUMBERS, types.int64[::1], _NUMBERS, _NUMBERS,
        types.int64[::1], types.int64[::1],
    )
)  # fmt: skip
def best_path(
    values: Floats,
    weights: Floats,
    kept: NDArray[np.bool_],
    price: Floats,
    next_state: NDArray[np.int64],
    quantizer: NDArray[np.int64],
    index_to: NDArray[np.int64],
    state_before: NDArray[np.int64],
    indices: NDArray[np.int64],
    quantizers: NDArray[np.int64],
) -> None:
    """Find the indices, and their quantizers, of the path down a column for which errors and prices are least.

    `index_to` and `state_before`, shape (rows, states), are room for work: for every row and every state after it the
    index that led there on the cheapest path, and the state before.
    """
    states = next_state.shape[0]
    index, cost = np.zeros((2, 2), dtype=np.int64), np.zeros((2, 2))
    total, after = np.full(states, np.inf), np.zeros(states)
    total[0] = 0.0
    for row in range(len(values)):
        for which in range(2):
            _best_indices(values[row], weights[row], kept[row], which, price, index, cost)
        after[:] = np.inf
        for state in range(states):
            _go_on(row, state, quantizer[state], total, cost, index, next_state, after, index_to, state_before)
        total[:] = after
    _trace_back(index_to, state_before, quantizer, int(np.argmin(total)), indices, quantizers)


@compiled(
    types.void(
        _VECTOR, _VECTOR, types.boolean[::1], _MATRIX, _NUMBERS, types.int64[::1], _MATRIX, _NUMBERS, _NUMBERS,
        types.int64[::1], types.int64[::1],
    )
)  # fmt: skip
def best_coupled_path(
    values: Floats,
    weights: Floats,
    kept: NDArray[np.bool_],
    price: Floats,
    next_state: NDArray[np.int64],
    quantizer: NDArray[np.int64],
    coupling: Floats,
    index_to: NDArray[np.int64],
    state_before: NDArray[np.int64],
    indices: NDArray[np.int64],
    quantizers: NDArray[np.int64],
) -> None:
    """Do as `best_path`, errors being made up for by the rows below."""
    rows, states = len(values), next_state.shape[0]
    index, cost = np.zeros((2, 2), dtype=np.int64), np.zeros((2, 2))
    wanted, total, after = np.zeros(states), np.full(states, np.inf), np.zeros(states)
    # By how much the best path to each state has moved what the rows still to come want, in roots of what errors cost.
    moved, moved_after = np.zeros((states, rows)), np.zeros((states, rows))
    total[0] = 0.0
    for row in range(rows):
        own, unit = coupling[row, row], np.sqrt(weights[row])
        weight = weights[row] / own**2
        after[:] = np.inf
        for state in range(states):
            if total[state] == np.inf:
                continue
            which = quantizer[state]
            wanted[state] = values[row] - (moved[state, row] / unit if unit > 0 else 0.0)
            _best_indices(wanted[state], weight, kept[row], which, price, index, cost)
            _go_on(row, state, which, total, cost, index, next_state, after, index_to, state_before)
        for reached in range(states):
            if after[reached] == np.inf:
                continue
            before = state_before[row, reached]
            off = wanted[before] - level_of(index_to[row, reached], quantizer[before])
            error = off * unit / own
            here, source, to = np.uintp(row), np.uintp(before), np.uintp(reached)
            for later in range(here + np.uintp(1), np.uintp(rows)):  # with signed numbers it takes twice as long
                moved_after[to, later] = moved[source, later] + error * coupling[here, later]
        moved, moved_after = moved_after, moved
        total[:] = after
    _trace_back(index_to, state_before, quantizer, int(np.argmin(total)), indices, quantizers)
