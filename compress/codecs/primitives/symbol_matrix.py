"""The matrix that the symbols of a tensor form for a codec."""

from __future__ import annotations

import math
from typing import NamedTuple


class SymbolMatrix(NamedTuple):
    """A matrix of symbols: the first dimension of the tensor is the row, the others together are the column.

    Attributes:
        rows: 1 for a single symbol.
        columns: 1 if there is only one dimension.
        taps: adjacent columns that are the taps of one kernel.
        width: of a kernel.
    """

    rows: int
    columns: int
    taps: int
    width: int

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> SymbolMatrix:
        """Return the matrix of a tensor's shape."""
        rows, width = shape[0] if shape else 1, shape[-1] if len(shape) > 2 else 1
        return cls(rows, math.prod(shape[1:]), math.prod(shape[2:]), width)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows, self.columns
