"""Choice of a codebook entry for each weight of a column by rate and distortion."""

from __future__ import annotations

import numpy as np

from compress.quantization.viterbi import Integers, Mask, Matrix, Vector
from compress.runtime.jit import compiled


@compiled()
def _cheapest_entry(target: float, error_cost: float, rate_cost: Vector, min_rate_cost: float, entries: Vector) -> int:
    """Return the entry of lowest cost; ties go to the entry nearer to the target, then to the lower one.

    The search goes outward from the target, until the error alone costs more than the best entry.
    """
    above = int(np.searchsorted(entries, target))
    below = above - 1
    best_cost, best = np.inf, -1
    while below >= 0 or above < len(entries):
        down = target - entries[below] if below >= 0 else np.inf
        up = entries[above] - target if above < len(entries) else np.inf
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
    return best


@compiled()
def choose_entries(
    targets: Vector,
    error_costs: Vector,
    mask: Mask,
    rate_cost: Vector,
    entries: Vector,
    correlation_factor: Matrix,
    indices: Integers,
) -> None:
    """Choose an entry for each weight of a column, top down. Where rows are correlated, lower rows compensate.

    Args:
        targets: shape (rows,), weights divided by their scales; updated by the errors of the rows above.
        error_costs: shape (rows,), nats that a squared error of 1 costs.
        mask: shape (rows,); False chooses the entry 0.
        rate_cost: shape (entries,), nats that the bits of each entry cost.
        entries: shape (entries,), ascending; one of them is 0.
        correlation_factor: `LayerStatistics.correlation_inverse_cholesky`, at least `rows` columns; empty: rows are
            independent.
        indices: output, shape (rows,).
    """
    correlated, zero, min_rate_cost = len(correlation_factor) > 0, np.searchsorted(entries, 0.0), rate_cost.min()
    shift = np.zeros(len(targets))
    for row in range(len(targets)):
        error_cost, unit, diagonal = error_costs[row], np.sqrt(error_costs[row]), 1.0
        if correlated:
            diagonal = correlation_factor[row, row]
            error_cost /= diagonal**2
            targets[row] -= shift[row] / unit if unit > 0 else 0.0
        entry = _cheapest_entry(targets[row], error_cost, rate_cost, min_rate_cost, entries) if mask[row] else zero
        indices[row] = entry
        if correlated:
            error = (targets[row] - entries[entry]) * unit / diagonal
            for later in range(row + 1, len(targets)):
                shift[later] += error * correlation_factor[row, later]
