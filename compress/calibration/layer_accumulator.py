"""Sums of one layer's gradients over photos, which become its statistics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compress.calibration.example_gradients import CallGradients, compact_gradients, summed_gradients
from compress.calibration.layer_statistics import Floats, LayerStatistics, row_groups
from compress.calibration.packed_triangular import symmetric
from compress.calibration.row_block_memory import check_row_length
from compress.errors import PassError
from compress.networks.layer_calls import matrix_shape

Block = TypeVar("Block", Tensor, Floats)

_MIN_ROW_FRACTION = 0.05
"""Smallest Fisher information of a row, as a fraction of the mean of its layer. A row that these photos do not use may
matter for others."""

_PHOTOS_TOGETHER = 40
"""Photos whose gradients are added to the row blocks in one step. Memory bandwidth limits smaller steps."""

_ROWS_TOGETHER = 32
"""Rows whose waiting gradients are added together, while they are in a processor's cache."""

_LONG_ROW = 1024
"""Length of rows from which `compact_gradients` saves much, and from which gradients are added at once."""

STRIP_ROWS = 32
"""Rows of a block that are accumulated together, from their first diagonal entry on. The entries left of it follow by
symmetry, and take neither memory nor time."""


def waiting_photos(columns: int) -> int:
    """Return the number of photos that are added to the row blocks in one step, twice as many in half precision."""
    return _PHOTOS_TOGETHER if columns < _LONG_ROW else 0


class LayerForm(NamedTuple):
    """The arguments of a `LayerAccumulator` besides the name and the weight, and whether bias gradients are known."""

    groups: int
    correlated: bool
    has_bias: bool = True


class LayerAccumulator:
    """Sums over photos for one layer: row blocks as strips of their upper triangles, row correlation, and traces."""

    def __init__(self, name: str, weight: Tensor, groups: int, *, correlated: bool, has_bias: bool = True) -> None:
        rows, columns = matrix_shape(weight)
        check_row_length(name, columns)
        self._row_fisher = torch.zeros(rows, dtype=torch.float64)
        self._bias_fisher = torch.zeros(rows, dtype=torch.float64) if has_bias else None
        self._name, self._groups, self._columns = name, groups, columns
        self._group_rows: list[int] = np.bincount(row_groups(rows, groups)).tolist()
        self._strips = [
            torch.zeros(groups, min(STRIP_ROWS, columns - start), columns - start, device=weight.device)
            for start in range(0, columns, STRIP_ROWS)
        ]
        self._row_products = torch.zeros(rows, rows, device=weight.device) if correlated else None
        self._waiting: list[Tensor] = []

    @property
    def form(self) -> LayerForm:
        """Which sums there are: processes can add up sums of the same form."""
        return LayerForm(self._groups, self._row_products is not None, self._bias_fisher is not None)

    def sums(self) -> list[Tensor]:
        """Return all sums over photos."""
        sums = (*self._strips, self._row_products, self._row_fisher, self._bias_fisher)
        return [each for each in sums if each is not None]

    def add(self, calls: CallGradients, row_block_calls: CallGradients, photos: int) -> None:
        """Add photos: row blocks from the gradients of `row_block_calls`, all else from `calls`."""
        weight_gradients, bias_gradients = summed_gradients(calls, photos)
        assert self._bias_fisher is not None
        norms = torch.linalg.vector_norm(weight_gradients, dim=2, dtype=torch.float32)
        self._row_fisher += norms.square().sum(0).double().cpu()
        self._bias_fisher += bias_gradients.square().sum(0).double().cpu()
        by_row = weight_gradients.transpose(0, 1)
        if self._row_products is not None:
            by_row = by_row.contiguous()
            flat = by_row.flatten(1).float()
            with _products_of(by_row.dtype):
                self._row_products.addmm_(flat, flat.T)
        if row_block_calls is not calls:
            by_row = summed_gradients(row_block_calls, photos)[0].transpose(0, 1)
        compact = self._compact(row_block_calls, photos)
        self._wait(by_row if compact is None else compact)

    def _compact(self, calls: CallGradients, photos: int) -> Tensor | None:
        """Return `compact_gradients` of a layer of long rows that sees each photo once."""
        if self._columns < _LONG_ROW or len(calls) > 1 or len(calls[0][1]) != photos:
            return None
        return compact_gradients(*calls[0], self._group_rows)

    def add_pass(self, weight_gradient: Tensor) -> None:
        """Add the gradient of all photos of a pass, in the shape of the weights; bias gradients are unknown."""
        by_row = weight_gradient.flatten(1)[:, None]
        self._bias_fisher = None
        self._row_fisher += by_row.square().sum((1, 2)).double().cpu()
        self._wait(by_row)

    def _wait(self, by_row: Tensor) -> None:
        """Keep gradients, shape (rows or groups, photos, columns), until enough wait."""
        self._waiting.append(by_row.contiguous())
        waiting_bytes = sum(gradients.shape[1] * gradients.itemsize for gradients in self._waiting)
        if waiting_bytes >= 4 * waiting_photos(self._columns):
            self.flush()

    def flush(self) -> None:
        """Add the waiting gradients to the strips, in place."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        if self._groups == len(waiting[0]):
            for first in range(0, self._groups, _ROWS_TOGETHER):
                rows = slice(first, first + _ROWS_TOGETHER)
                gradients = torch.cat([each[rows] for each in waiting], 1).float()  # (rows or groups, photos, columns)
                for start, strip in self._strips_from():
                    within, sums = gradients[..., start : start + STRIP_ROWS], strip[rows]
                    torch.baddbmm(sums, within.transpose(1, 2), gradients[..., start:], out=sums)
            return
        by_group = zip(*(torch.split(each, self._group_rows) for each in waiting), strict=True)
        for group, parts in enumerate(by_group):
            flat = torch.cat(parts, 1).float().flatten(0, 1)
            for start, strip in self._strips_from():
                strip[group].addmm_(flat[:, start : start + STRIP_ROWS].T, flat[:, start:])

    def _strips_from(self) -> Iterator[tuple[int, Tensor]]:
        """Yield the first row of each strip, and the strip."""
        yield from zip(range(0, self._columns, STRIP_ROWS), self._strips, strict=True)

    def statistics(self, total_weight: float) -> LayerStatistics:
        """Return the statistics of photos with this sum of weights. The strips are freed.

        Raises:
            PassError: they do not fit into float32.
        """
        if not torch.isfinite(self._row_fisher).all() or not all(bool(each.isfinite().all()) for each in self._strips):
            raise PassError(
                "its gradients are too large for statistics in float32; scale the layer up and the next one down, so "
                "that the weights of both are near 1, or use passes without statistics",
                tensor=self._name,
            )
        input_factor = self._input_factor()
        row_blocks = self._row_blocks() if self._groups > 1 else None
        row_fisher = _mean_with_minimum(self._row_fisher, total_weight)
        bias_fisher = None if self._bias_fisher is None else _mean_with_minimum(self._bias_fisher, total_weight)
        row_correlation = None if self._row_products is None else _correlation(self._row_products)
        return LayerStatistics(input_factor, row_fisher, bias_fisher, row_blocks, row_correlation)

    def _input_factor(self) -> Floats:
        strips = [sum(group.double() for group in strip).cpu().numpy() for strip in self._strips]
        matrix = symmetric(np.concatenate(list(_triangle_rows(strips))))
        trace = float(np.trace(matrix))
        return matrix / trace if trace > 0 else matrix

    def _row_blocks(self) -> NDArray[np.float32]:
        """Return the packed row blocks, each scaled to a trace of 1.

        The strips are freed one by one, since there is no room for both. Torch allocates the result page by page.
        """
        diagonals = torch.cat([strip.diagonal(dim1=1, dim2=2) for strip in self._strips], 1)
        # The sum runs over a strided copy: torch adds contiguous numbers in another order, with other rounding.
        traces = torch.stack([diagonals, diagonals], 2)[..., 0].sum(1).clamp(min=float(np.finfo(np.float32).tiny))
        triangles = torch.empty(self._groups, self._columns * (self._columns + 1) // 2)
        end = 0
        for row in _triangle_rows(self._strips.pop(0) for _ in range(len(self._strips))):
            begin, end = end, end + row.shape[1]
            triangles[:, begin:end] = row
        packed: NDArray[np.float32] = triangles.div_(traces.cpu()[:, None]).numpy()
        return packed


@contextmanager
def _products_of(dtype: torch.dtype) -> Iterator[None]:
    """Let torch multiply float32 copies of numbers of this type in bfloat16 if that is exact. Sums stay in float32."""
    precision = torch.get_float32_matmul_precision()
    if dtype == torch.bfloat16:
        torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)


def _triangle_rows(strips: Iterable[Block]) -> Iterator[Block]:
    """Yield the rows of the upper triangles, shape (..., columns from the diagonal on), from their strips."""
    for strip in strips:
        for row in range(strip.shape[-2]):
            yield strip[..., row, row:]


def _correlation(products: Tensor) -> NDArray[np.float32]:
    deviations = products.diagonal().sqrt()
    inverse = torch.where(deviations > 0, 1 / deviations, 0.0)  # a row without gradients correlates with no other
    correlation = (inverse[:, None] * products * inverse).clamp(-1, 1)
    result: NDArray[np.float32] = correlation.fill_diagonal_(1).cpu().numpy()
    return result


def _mean_with_minimum(sums: Tensor, total_weight: float) -> Floats:
    fisher = (sums / total_weight).numpy()
    raised: Floats = np.maximum(fisher, _MIN_ROW_FRACTION * fisher.mean())
    return raised
