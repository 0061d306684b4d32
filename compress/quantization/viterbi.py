"""The path through a trellis, down one column, whose errors and prices are least; compiled.

Each state has two ways into it, and the better one is kept: so after every row there is one path to each state. Of two
as good it is the one from the lesser state before, or with the even index.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from compress.runtime.jit import compiled

Floats = NDArray[np.float64]

TRIED = 7
"""Indices tried from the nearest one towards zero: the bits that a smaller one saves are rarely worth more."""

_MATRIX = types.float64[:, ::1]
_VECTOR = types.float64[::1]
_NUMBERS = types.int64[:, ::1]
_WAYS = types.int16[:, ::1]


@compiled(
    types.void(types.float64, types.float64, types.boolean, types.int64, _MATRIX, types.int64[::1], _VECTOR),
    inline=True,
)
def _best_indices(
    value: float,
    weight: float,
    mask: bool,
    which: int,
    price: Floats,
    index: NDArray[np.int64],
    cost: Floats,
) -> None:
    """Find for a quantizer and each parity the index that costs least, and what it costs."""
    most = price.shape[1] // 2
    side = 1 if value > 0 else -1
    index[0] = index[1] = 0
    cost[0] = weight * value * value + price[which, most]
    cost[1] = np.inf
    tried = int(np.rint((value + side * which) / 2)) + side
    for _ in range(TRIED):
        if not mask or tried * side <= 0:
            break
        if tried * side <= most:
            off = value - (2 * tried - side * which)
            total = weight * off * off + price[which, tried + most]
            parity = tried & 1
            if total < cost[parity]:
                cost[parity] = total
                index[parity] = tried
        tried -= side


@compiled(types.void(types.int64, _VECTOR, _NUMBERS, _WAYS, _VECTOR), inline=True)
def take_better_ways(
    row: int, through: Floats, arrivals: NDArray[np.int64], ways: NDArray[np.int16], total: Floats
) -> None:
    """Find for each state the better way into it, and what the path there costs.

    Args:
        row: of the column.
        through: shape (2 * states,), what the path costs that leaves a state, the way being as in `arrivals`.
        arrivals: `Trellis.arrivals`.
        ways: shape (rows, states), whose row is filled.
        total: shape (states,), to fill.
    """
    for reached in range(len(total)):
        first, second = through[arrivals[reached, 0]], through[arrivals[reached, 1]]
        ways[row, reached] = arrivals[reached, 1] if second < first else arrivals[reached, 0]
        total[reached] = second if second < first else first


@compiled(
    types.void(
        _VECTOR, _VECTOR, types.boolean[::1], _MATRIX, _NUMBERS, types.int64[::1], _WAYS,
        types.int64[::1], types.int64[::1],
    )
)  # fmt: skip
def best_path(
    values: Floats,
    weights: Floats,
    mask: NDArray[np.bool_],
    price: Floats,
    arrivals: NDArray[np.int64],
    quantizer: NDArray[np.int64],
    ways: NDArray[np.int16],
    indices: NDArray[np.int64],
    quantizers: NDArray[np.int64],
) -> None:
    """Find the indices, and their quantizers, of the path down a column for which errors and prices are least.

    `ways`, shape (rows, states), is room for work: for every row the better way into each state, as in `arrivals`.
    """
    rows, states = len(values), len(quantizer)
    index, cost = np.zeros((rows, 2, 2), dtype=np.int64), np.zeros((2, 2))
    total, through = np.full(states, np.inf), np.zeros(2 * states)
    total[0] = 0.0
    for row in range(rows):
        for which in range(2):
            _best_indices(values[row], weights[row], mask[row], which, price, index[row, which], cost[which])
        for state in range(states):
            which = quantizer[state]
            through[2 * state] = total[state] + cost[which, 0]
            through[2 * state + 1] = total[state] + cost[which, 1]
        take_better_ways(row, through, arrivals, ways, total)
    state = int(np.argmin(total))
    for row in range(rows - 1, -1, -1):
        way = int(ways[row, state])
        state = way >> 1
        quantizers[row] = quantizer[state]
        indices[row] = index[row, quantizer[state], way & 1]
