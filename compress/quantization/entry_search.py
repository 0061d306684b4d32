"""Search for the codebook entries of a layer, row by row, by rate and distortion.

The error of a weight moves the targets of the later weights of its row. So the cheapest entry of one weight may make
later ones expensive. The search extends several paths through a row at once by their two cheapest entries, and keeps
the best of these paths, the survivors (M-algorithm).

Source: Anderson & Mohan 1984, "Sequential coding algorithms: a survey and cost analysis"; Chou, Lookabaugh & Gray 1989,
"Entropy-constrained vector quantization".
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from compress.quantization.viterbi import IntegerMatrix, Integers, Mask, Matrix, Vector
from compress.runtime.jit import Contiguous, compiled

_MAX_SURVIVORS = 8
"""Paths through a row that the search keeps. 32 take four times as long and gain little."""

_MAX_REMAINING = 2**13
"""Weights in all paths through a row; with fewer paths, a weight of a long row takes no more time."""

_EXTENSIONS = 2
"""Number of entries that extend a survivor. Three find no better paths."""

Masks = Annotated[NDArray[np.bool_], Contiguous(2)]
Factors = Annotated[NDArray[np.float32], Contiguous(2)]
Chosen = Annotated[NDArray[np.int32], Contiguous(2)]
_Factor = Annotated[NDArray[np.float32], Contiguous(1)]
_Row = Annotated[NDArray[np.int32], Contiguous(1)]


def default_survivors(columns: int) -> int:
    """Return the number of paths to keep through rows of this many columns."""
    return max(2, min(_MAX_SURVIVORS, _MAX_REMAINING // max(columns, 1)))


@compiled()
def _find_cheapest(
    target: float,
    error_cost: float,
    rate_cost: Vector,
    min_rate_cost: float,
    entries: Vector,
    cheapest: Integers,
    cost: Vector,
) -> int:
    """Find the `_EXTENSIONS` entries of lowest cost; ties go to the entry nearer to the target, then to the lower one.

    The search goes outward from the target, until the error alone costs more than the entries found.

    Returns:
        the number of entries; they are written into `cheapest`, and their costs into `cost`, in ascending order.
    """
    above, found = int(np.searchsorted(entries, target)), 0
    below = above - 1
    while below >= 0 or above < len(entries):
        down = target - entries[below] if below >= 0 else np.inf
        up = entries[above] - target if above < len(entries) else np.inf
        error, entry = (down, below) if down <= up else (up, above)
        error_nats = error_cost * error * error
        if found == _EXTENSIONS and error_nats + min_rate_cost >= cost[found - 1]:
            break
        found = _insert(cheapest, cost, found, _EXTENSIONS, entry, error_nats + rate_cost[entry])
        if down <= up:
            below -= 1
        else:
            above += 1
    return found


@compiled(inline=True)
def _insert(items: Integers, cost: Vector, count: int, limit: int, item: int, item_cost: float) -> int:
    """Insert an item into the cheapest ones, at most `limit`, after those of the same cost; return their number."""
    if count == limit:
        if item_cost >= cost[count - 1]:
            return count
        count -= 1
    place = count
    while place > 0 and cost[place - 1] > item_cost:
        items[place], cost[place] = items[place - 1], cost[place - 1]
        place -= 1
    items[place], cost[place] = item, item_cost
    return count + 1


@compiled(allocates=True)
def _search_row(
    target: Vector,
    mask: Mask,
    step: Vector,
    unit: Vector,
    shift: Vector,
    factor: _Factor,
    rate_cost: Matrix,
    class_of_column: Integers,
    entries: Vector,
    max_survivors: int,
    indices: _Row,
    approximated: Vector,
) -> None:
    """Find the entries of a row.

    All vectors have the shape (columns,). `target`, `mask` and `step` are the row's weights, mask and scales, and
    `factor` is its packed Cholesky factor. An error of one step costs `unit` squared nats. Feedback from the rows above
    lowers the targets by `shift` steps. The function writes the chosen entries into `indices`, and the targets after
    all feedback, in steps, into `approximated`. Other arguments are those of `search_rows`.
    """
    columns, zero = len(target), int(np.searchsorted(entries, 0.0))
    index, parent = np.zeros((columns, max_survivors), np.int32), np.zeros((columns, max_survivors), np.int32)
    shifted = np.zeros((columns, max_survivors))
    remaining, next_remaining = np.zeros((max_survivors, columns)), np.zeros((max_survivors, columns))
    extension, extension_cost = np.zeros(_EXTENSIONS, np.int64), np.zeros(_EXTENSIONS)
    path_cost, path = np.zeros(max_survivors), np.zeros(max_survivors, np.int64)
    next_cost = np.zeros(max_survivors)
    remaining[0] = target
    diagonal, survivors = 0, 1
    for column in range(columns):
        rates, error_cost, count = rate_cost[class_of_column[column]], unit[column] ** 2, 0
        min_rate = rates.min()
        for survivor in range(survivors):
            value = remaining[survivor, column] / step[column] - shift[column]
            shifted[column, survivor] = value
            if mask[column]:
                found = _find_cheapest(value, error_cost, rates, min_rate, entries, extension, extension_cost)
            else:
                found, extension[0], extension_cost[0] = 1, zero, error_cost * value * value + rates[zero]
            for place in range(found):
                extended = survivor * len(entries) + extension[place]  # the survivor and its next entry in one number
                extended_cost = path_cost[survivor] + extension_cost[place]
                count = _insert(path, next_cost, count, max_survivors, extended, extended_cost)
        for place in range(count):
            source, entry = path[place] // len(entries), path[place] % len(entries)
            index[column, place], parent[column, place] = entry, source
            path_cost[place] = next_cost[place]
            error = (remaining[source, column] - entries[entry] * step[column]) / factor[diagonal]
            for offset in range(1, columns - column):  # unsigned indices as in `viterbi_per_survivor`
                at = np.uintp(column) + np.uintp(offset)
                fed = error * factor[np.uintp(diagonal) + np.uintp(offset)]
                next_remaining[np.uintp(place), at] = remaining[np.uintp(source), at] - fed
        survivors, diagonal = count, diagonal + columns - column
        remaining, next_remaining = next_remaining, remaining
    place = 0  # the cheapest
    for column in range(columns - 1, -1, -1):
        indices[column] = index[column, place]
        place = parent[column, place]
        approximated[column] = shifted[column, place]


@compiled(allocates=True)
def search_rows(
    target: Matrix,
    mask: Masks,
    scale: Matrix,
    row_fisher: Vector,
    inverse_cholesky: Factors,
    correlation_factor: Matrix,
    rate_cost: Matrix,
    class_of_column: Integers,
    entries: Vector,
    max_survivors: int,
) -> tuple[Chosen, Matrix, IntegerMatrix]:
    """Find the entries of all rows, top down. Where rows are correlated, lower rows compensate for the errors above.

    The first six arguments are the fields of `assignment.LayerArrays`, with an empty `correlation_factor` where rows
    are independent. The others, and the result, are those of `assignment.assign_entries`.
    """
    rows, columns = target.shape
    groups, correlated = inverse_cholesky.shape[0], len(correlation_factor) > 0
    indices, approximated = np.zeros(target.shape, np.int32), np.zeros(target.shape)
    counts = np.zeros(rate_cost.shape, np.int64)
    errors = np.zeros((rows if correlated else 1, columns))
    unit, shift = np.zeros(columns), np.zeros(columns)
    for row in range(rows):
        factor = inverse_cholesky[row * groups // rows]
        root, diagonal = np.sqrt(0.5 * row_fisher[row]), 0
        for column in range(columns):
            unit[column] = root * scale[row, column] / factor[diagonal]
            diagonal += columns - column
        if correlated:
            shift[:] = 0
            for above in range(row):
                weight = correlation_factor[above, row]
                for column in range(columns):
                    shift[column] += weight * errors[above, column]
            for column in range(columns):
                shift[column] = shift[column] / unit[column] if unit[column] > 0 else 0.0
            unit /= correlation_factor[row, row]
        _search_row(
            target[row], mask[row], scale[row], unit, shift, factor, rate_cost, class_of_column, entries,
            max_survivors, indices[row], approximated[row],
        )  # fmt: skip
        for column in range(columns):
            entry = indices[row, column]
            counts[class_of_column[column], entry] += 1
            if correlated:
                errors[row, column] = (approximated[row, column] - entries[entry]) * unit[column]
    return indices, approximated, counts
