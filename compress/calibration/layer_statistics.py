"""Statistics of one layer, and the matrices of GPTQ's error feedback derived from them.

`statistics_accumulator` gathers the statistics and defines them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from compress.calibration.packed_triangular import packed, symmetric
from compress.runtime.threads import map_ahead
from compress.tensors.kernel_transform import derivatives_by_coefficient

Floats = NDArray[np.float64]

_ENTRIES_TOGETHER = 8 * 576**2
"""Entries of the row blocks that are mixed and inverted together; of long rows, one block alone has more."""


@dataclass(frozen=True, eq=False)
class LayerStatistics:
    """Fisher information of the weights of a convolution or linear layer, as a matrix with one row per output channel.

    Attributes:
        input_factor: float64, shape (columns, columns), the Kronecker factor over the columns of a row: the sum of all
            row blocks, scaled to a trace of 1; all 0 if no photo reaches the layer.
        row_fisher: float64, shape (rows,), the trace of each row's block, in nats.
        bias_fisher: float64, shape (rows,), the Fisher information of each bias, in nats.
        row_blocks: float32, packed upper triangles of (groups, columns, columns): the block of each row, or the sum of
            the blocks of adjacent rows (`row_groups`), each scaled to a trace of 1; None: not gathered.
        row_correlation: float32, shape (rows, rows), the correlation of the rows' gradients, -1 to 1; None: not
            gathered.
    """

    input_factor: Floats
    row_fisher: Floats
    bias_fisher: Floats | None = None
    row_blocks: NDArray[np.float32] | None = None
    row_correlation: NDArray[np.float32] | None = None

    def with_equal_rows(self) -> LayerStatistics:
        """Return the statistics with the mean Fisher information for every row and every bias.

        A row of a classifier is a class. A class that no calibration photo resembles would have no Fisher information,
        and compression would destroy it.
        """
        bias_fisher = None if self.bias_fisher is None else np.full_like(self.bias_fisher, self.bias_fisher.mean())
        return replace(self, row_fisher=np.full_like(self.row_fisher, self.row_fisher.mean()), bias_fisher=bias_fisher)

    def row_inverse_cholesky(
        self,
        row_weight: float,
        damping: Floats | float = 0.01,
        *,
        out: NDArray[np.float32] | None = None,
        kernel_transform: bool = False,
    ) -> NDArray[np.float32]:
        """Return the packed factors of the error feedback in each row: `inverse_cholesky` of its Hessian.

        Args:
            row_weight: weight of the row block in the mixture, 0 to 1; the rest is that of `input_factor`.
            damping: added to the diagonal, as a fraction of its mean, so that the matrix can be inverted even if all
                photos are the same or none reaches the layer. Or one for each row, shape (rows,), averaged over a group
                of rows.
            out: array for the result if there are several groups. It may be `row_blocks`, to save memory.
            kernel_transform: return the factors for the transform coefficients of 3x3 kernels instead of the weights.
        Returns:
            float32, packed upper triangles of (groups, columns, columns); of one group if `row_weight` is 0.
        """
        groups, columns = self.group_of_row(row_weight)[-1] + 1, len(self.input_factor)
        triangles = np.empty((groups, columns * (columns + 1) // 2), np.float32) if out is None or groups == 1 else out

        def invert(group: int, hessian: Floats) -> None:
            triangles[group] = packed(inverse_cholesky(_by_coefficient(hessian) if kernel_transform else hessian))

        self.for_each_row_hessian(invert, row_weight, damping)
        return triangles

    def for_each_row_hessian(
        self, function: Callable[[int, Floats], None], row_weight: float, damping: Floats | float
    ) -> None:
        """Call a function with each group of `group_of_row` and its Hessian, on as many threads as torch has.

        The Hessian, shape (columns, columns), is the damped mixture of the row block and `input_factor`; the other
        arguments are those of `row_inverse_cholesky`. Large matrices come one by one, and torch uses its threads within
        the function.
        """
        hessians = self._row_hessians(row_weight, damping)
        if self.input_factor.size > _ENTRIES_TOGETHER:
            for group, hessian in hessians:
                function(group, hessian)
            return
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # within the threads, more would wait for each other
        try:
            with ThreadPoolExecutor(threads) as pool:
                deque(map_ahead(pool, lambda of_group: function(*of_group), hessians, 2 * self._groups_together), 0)
        finally:
            torch.set_num_threads(threads)

    def _row_hessians(self, row_weight: float, damping: Floats | float) -> Iterator[tuple[int, Floats]]:
        """Yield each group and its Hessian."""
        group = self.group_of_row(row_weight)
        group_damping = np.bincount(group, np.broadcast_to(damping, group.shape)) / np.bincount(group)
        for start in range(0, len(group_damping), self._groups_together):
            batch = slice(start, start + self._groups_together)
            if len(group_damping) > 1:
                assert self.row_blocks is not None
                mixed = symmetric(self.row_blocks[batch])
                mixed *= row_weight
                mixed += (1 - row_weight) * self.input_factor
            else:
                mixed = self.input_factor[None].copy()
            _damp(mixed, group_damping[batch])
            yield from enumerate(mixed, start)

    @property
    def _groups_together(self) -> int:
        return max(1, _ENTRIES_TOGETHER // self.input_factor.size)

    def group_of_row(self, row_weight: float) -> NDArray[np.int64]:
        """Return which rows share a Hessian: `row_groups`, shape (rows,)."""
        groups = 1 if self.row_blocks is None or row_weight == 0 else len(self.row_blocks)
        return row_groups(len(self.row_fisher), groups)

    def correlation_inverse_cholesky(self, correlation_weight: float) -> Floats | None:
        """Return the factor that feeds the error of a row to later rows, as `row_inverse_cholesky` does for columns.

        Args:
            correlation_weight: weight of `row_correlation` in a mixture with the identity matrix, 0 to below 1.
        Returns:
            shape (rows, rows), in units of the square root of a row's error cost; None: rows are independent.
        """
        if self.row_correlation is None or correlation_weight == 0:
            return None
        identity = np.eye(len(self.row_correlation))
        mixed = correlation_weight * self.row_correlation.astype(np.float64) + (1 - correlation_weight) * identity
        return inverse_cholesky(mixed)

    def weight_fisher(self) -> Floats:
        """Return the Fisher information of each weight, shape (rows, columns): the diagonal of the whole matrix."""
        return np.outer(self.row_fisher, np.diag(self.input_factor))


def row_groups(rows: int, groups: int) -> NDArray[np.int64]:
    """Return the group of each row, shape (rows,): groups of adjacent rows, of nearly equal length."""
    return np.arange(rows, dtype=np.int64) * groups // rows


def inverse_cholesky(matrix: Floats) -> Floats:
    """Return the upper Cholesky factor `u` of the inverse of a matrix, shape (columns, columns).

    If column j is stored too small by `e`, error feedback adds `-e / u[j, j] * u[j, k]` to each later column k. The
    remaining cost is `e ** 2 / u[j, j] ** 2`.

    With rows and columns in reverse order, such a factor is the inverse of the lower Cholesky factor of the matrix
    itself. This takes half the time of an inversion and a factorization.

    Source: Frantar et al. 2022 (GPTQ), arXiv:2210.17323.
    """
    factor = torch.linalg.cholesky(torch.from_numpy(matrix).flip(0, 1))
    identity = torch.eye(len(factor), dtype=factor.dtype)
    inverse: Floats = torch.linalg.solve_triangular(factor, identity, upper=False).flip(0, 1).numpy()
    return inverse


def permute_inverse_cholesky(factor: NDArray[np.floating[Any]], order: NDArray[np.int64]) -> Floats:
    """Return the factor of `inverse_cholesky` for another order of columns (or rows).

    Args:
        factor: shape (n, n).
        order: shape (n,), old index at each new place.
    """
    permuted = factor[:, order].astype(np.float64)
    return np.ascontiguousarray(np.linalg.cholesky(permuted.T @ permuted).T)


def _damp(matrices: Floats, damping: Floats) -> None:
    """Add a fraction of the mean diagonal to the diagonals of matrices, shape (n, columns, columns), in place."""
    columns = matrices.shape[-1]
    mean = np.trace(matrices, axis1=1, axis2=2) / columns
    added = damping * np.where(mean > 0, mean, 1.0)
    matrices[:, range(columns), range(columns)] += added[:, None]


def _by_coefficient(hessian: Floats) -> Floats:
    """Return the Hessian for the transform coefficients of 3x3 kernels."""
    return derivatives_by_coefficient(derivatives_by_coefficient(hessian).T)
