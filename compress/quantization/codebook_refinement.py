"""Codebook entries assigned by rate and distortion, with error feedback, and refitted codebooks.

Source: Chou, Lookabaugh & Gray 1989, "Entropy-constrained vector quantization"; Frantar et al. 2022 (GPTQ),
arXiv:2210.17323.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from compress.calibration.layer_statistics import LayerStatistics
from compress.calibration.packed_triangular import packed
from compress.quantization.codebooks import round_codebook
from compress.quantization.gptq import assign_entries
from compress.quantization.rate_distortion import rate_costs
from compress.tensors.forms import Shared

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

_UNSEEN_COUNT = 0.01
"""Count of an entry that no weight took: the entry stays possible at a high rate."""


def refine_codebook(
    name: str,
    shared: Shared,
    target: NDArray[np.float32],
    statistics: LayerStatistics,
    lambda_: float,
    iterations: int,
) -> Shared:
    """Return a shared tensor with entries that minimize `divergence + lambda * bits`.

    Each iteration assigns the entries column by column, at rates from the last frequencies. It then removes unused
    entries and moves each other entry to the mean of its weights. The last iteration first rounds the entries to their
    precision in the file, and moves none. Pruned weights keep entry 0.

    Args:
        name: of the tensor, for errors.
        shared: the first assignment.
        target: the float weights, in the same shape.
        statistics: of the layer.
        lambda_: nats of divergence that one bit is worth.
        iterations: number of assignments.
    Raises:
        PassError: an entry is too large for the precision.
    """
    assignment = _EntryAssignment(shared, target, statistics)
    codebook = shared.codebook.astype(np.float64)
    counts = np.ones(len(codebook))  # the first assignment has equal rates
    for remaining in reversed(range(iterations)):
        if remaining == 0:
            codebook, counts = _merge_rounded(name, codebook, counts, shared)
        indices, approximated = assignment.assign(codebook, rate_costs(counts + _UNSEEN_COUNT, lambda_))
        codebook, counts, indices = _without_unused(codebook, indices)
        if remaining > 0:
            codebook = assignment.refit(codebook, indices, approximated)
    return replace(
        shared, codebook=codebook.astype(np.float32), indices=indices.reshape(shared.shape).astype(np.uint16)
    )


class _EntryAssignment:
    """Assignment and refit for one layer, as a matrix with one row per output channel."""

    def __init__(self, shared: Shared, target: NDArray[np.float32], statistics: LayerStatistics) -> None:
        rows = len(target)
        self._target = target.reshape(rows, -1).astype(np.float64)
        self._mask = shared.mask.reshape(rows, -1)
        self._scale = np.broadcast_to(shared.scale(), shared.shape).reshape(rows, -1).astype(np.float64)
        self._row_fisher, inverse_cholesky = statistics.row_fisher, statistics.inverse_cholesky()
        self._inverse_cholesky = packed(inverse_cholesky[None]).astype(np.float32)
        self._cost = statistics.feedback_cost(inverse_cholesky) * self._scale**2

    def assign(self, codebook: Floats, rate_cost: Floats) -> tuple[Indices, Floats]:
        """Return the entry of every weight, and the value that each approximates, in units of its scale."""
        return assign_entries(
            self._target, self._mask, self._scale, self._row_fisher, self._inverse_cholesky, codebook, rate_cost
        )

    def refit(self, codebook: Floats, indices: Indices, approximated: Floats) -> Floats:
        """Return the codebook with each entry but the first at the mean of the values it approximates, by error cost.

        The entries of a layer that no photo reaches have no cost, and stay.
        """
        cost = np.bincount(indices.ravel(), self._cost.ravel(), len(codebook))
        moment = np.bincount(indices.ravel(), (self._cost * approximated).ravel(), len(codebook))
        means = np.divide(moment, cost, out=codebook.copy(), where=cost > 0)
        means[0] = 0
        return means


def _without_unused(codebook: Floats, indices: Indices) -> tuple[Floats, Floats, Indices]:
    """Return the codebook without unused entries, the count of each entry, and the new indices."""
    counts = np.bincount(indices.ravel(), minlength=len(codebook)).astype(np.float64)
    used = counts > 0
    used[0] = True  # entry 0 is the value of pruned weights
    return codebook[used], counts[used], (np.cumsum(used) - 1)[indices]


def _merge_rounded(name: str, codebook: Floats, counts: Floats, shared: Shared) -> tuple[Floats, Floats]:
    """Return the codebook at its precision in the file, entries that become equal merged, and the sums of counts."""
    rounded = round_codebook(codebook, shared.stored_as, name)
    index = np.searchsorted(rounded[1:], codebook.astype(shared.stored_as).astype(np.float32)) + 1
    index[codebook.astype(shared.stored_as) == 0] = 0
    return rounded.astype(np.float64), np.bincount(index, counts, len(rounded)).astype(np.float64)
