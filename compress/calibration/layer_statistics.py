"""What an error in a layer's weights costs, and how the weights still to be chosen make up for it.

`calibration` gathers these statistics, and says what of the Fisher information they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.calibration.packed_triangular import packed, symmetric
from compress.tensors.kernel_transform import coefficients_of

Floats = NDArray[np.float64]

_AT_ONCE = 16
"""Moments that are inverted together."""


@dataclass(frozen=True, eq=False)
class LayerStatistics:
    """What one convolution's or linear layer's weights cost.

    Attributes:
        moment: float64, shape (columns, columns), the Fisher information within a row, summed over rows; its trace is
            1, or 0 where no photo reached the layer.
        output_cost: float64, shape (rows,), the Fisher information of each row, summed over its weights, nats.
        bias_cost: float64, shape (rows,), that of the layer's biases, nats.
        own: float32, the upper `triangles` of (groups, columns, columns), the Fisher information within each row by
            itself, or that of rows next to each other together (`group_of_rows`), each of trace 1 or 0; None where it
            was not gathered.
        between: float32, shape (rows, rows), the correlation of the rows' gradients, all columns taken together, from
            -1 to 1; None where it was not gathered.
    """

    moment: Floats
    output_cost: Floats
    bias_cost: Floats | None = None
    own: NDArray[np.float32] | None = None
    between: NDArray[np.float32] | None = None

    def pooled(self) -> LayerStatistics:
        """Return the statistics with one cost for all rows.

        A classifier's rows are classes, and a photo says something of the few that it may show: a class that no
        calibration photo suggests would seem to cost nothing, and be destroyed.
        """
        bias_cost = None if self.bias_cost is None else np.full_like(self.bias_cost, self.bias_cost.mean())
        return replace(self, output_cost=np.full_like(self.output_cost, self.output_cost.mean()), bias_cost=bias_cost)

    def feedback(self, damping: float = 0.01) -> Floats:
        """Return the upper Cholesky factor of the inverse moment, shape (columns, columns).

        With `u` this factor, column j stored too small by `e` is best made up for by adding `-e / u[j, j] * u[j, k]`
        to each later column k, and what then remains costs `e ** 2 / u[j, j] ** 2` (Frantar et al. 2022, GPTQ,
        arXiv:2210.17323).

        Args:
            damping: share of the mean diagonal that is added to the diagonal. It makes the moment of constant photos,
                or of a layer that never fires, invertible.
        """
        factor: Floats = _factor(self.moment[None], np.array([damping]))[0]
        return factor

    def row_feedback(
        self,
        share: float,
        damping: Floats | float = 0.01,
        *,
        out: NDArray[np.float32] | None = None,
        coefficients: bool = False,
    ) -> NDArray[np.float32]:
        """Return `feedback()` of each group of rows, or one for all: float32 `triangles` of (groups, columns, columns).

        Args:
            share: what of a group's moment is its own, 0 to 1; the rest is the layer's.
            damping: as in `feedback`; or one for each row, shape (rows,), of which a group takes the mean.
            out: where the factors go if there are several groups, which may be `own`: there is often no room for both.
            coefficients: for the coefficients of kernels of 3 by 3 instead of weights.
        """
        groups = 1 if self.own is None or share == 0 else len(self.own)
        group = group_of_rows(len(self.output_cost), groups)
        held = np.bincount(group, np.broadcast_to(damping, group.shape)) / np.bincount(group)
        if groups == 1:
            return packed(_factor(self.moment[None], held, coefficients=coefficients)).astype(np.float32)
        assert self.own is not None
        factors = np.empty_like(self.own) if out is None else out
        for start in range(0, groups, _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            mixed = share * symmetric(self.own[some].astype(np.float64)) + (1 - share) * self.moment
            factors[some] = packed(_factor(mixed, held[some], coefficients=coefficients))
        return factors

    def coupling(self, believed: float) -> Floats | None:
        """Return how the error of a row is made up for by rows after it, as `feedback` says for columns.

        Args:
            believed: share of the correlation between rows that is taken for true, 0 to below 1.
        Returns:
            upper Cholesky factor of the inverse correlation, shape (rows, rows); its unit is the root of what an error
            costs in a row. None where rows are taken for independent.
        """
        if self.between is None or believed == 0:
            return None
        correlation = believed * self.between.astype(np.float64) + (1 - believed) * np.eye(len(self.between))
        factor: Floats = _factor(correlation[None], np.zeros(1))[0]
        return factor

    def rounding_cost(self, factor: Floats) -> Floats:
        """Return the divergence that an error of 1 costs in each weight, made up for by later columns.

        Args:
            factor: `feedback()`.
        Returns:
            nats, shape (rows, columns).
        """
        return 0.5 * np.outer(self.output_cost, np.diag(factor) ** -2.0)

    def weight_cost(self) -> Floats:
        """Return the Fisher information of each weight, shape (rows, columns), others held still."""
        return np.outer(self.output_cost, np.diag(self.moment))


def group_of_rows(rows: int, groups: int) -> NDArray[np.int64]:
    """Return which group each row belongs to, shape (rows,): neighbours go together."""
    return np.arange(rows, dtype=np.int64) * groups // rows


def reordered_factor(factor: NDArray[np.floating[Any]], order: NDArray[np.int64]) -> Floats:
    """Return the Cholesky factor of columns, or rows, in another order, as `LayerStatistics.feedback` gives it.

    Args:
        factor: shape (n, n).
        order: shape (n,), which of before is at each place.
    """
    moved = factor[:, order].astype(np.float64)
    return np.ascontiguousarray(np.linalg.cholesky(moved.T @ moved).T)


def _factor(moments: Floats, damping: Floats, *, coefficients: bool = False) -> Floats:
    """Return the upper Cholesky factors of the inverses, damped, shape (n, columns, columns)."""
    columns = moments.shape[-1]
    mean = np.trace(moments, axis1=1, axis2=2) / columns
    held = damping * np.where(mean > 0, mean, 1.0)
    inverse: Floats = np.linalg.inv(moments + held[:, None, None] * np.eye(columns)).astype(np.float64, copy=False)
    if coefficients:
        inverse = coefficients_of(coefficients_of(inverse).transpose(0, 2, 1))
    factors = np.linalg.cholesky((inverse + inverse.transpose(0, 2, 1)) / 2).transpose(0, 2, 1)
    return np.ascontiguousarray(factors, dtype=np.float64)
