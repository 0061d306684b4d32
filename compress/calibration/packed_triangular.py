"""Packed storage of symmetric and upper triangular matrices: the rows of the upper triangle one after another.

A matrix of n columns takes n * (n + 1) / 2 numbers. Row j starts at its diagonal and has n - j numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from compress.runtime.jit import Contiguous, compiled

Number = TypeVar("Number", bound=np.generic)

_TILE = 16
"""Rows and columns of a tile: two cache lines of each row."""


def packed(matrices: NDArray[Number]) -> NDArray[Number]:
    """Return the packed upper triangles, shape (..., numbers), of matrices, shape (..., columns, columns)."""
    columns = matrices.shape[-1]
    triangles = np.empty((*matrices.shape[:-2], columns * (columns + 1) // 2), matrices.dtype)
    for row, place in enumerate(_rows(columns)):
        triangles[..., place] = matrices[..., row, row:]
    return triangles


def upper(triangles: NDArray[Number]) -> NDArray[Number]:
    """Return upper triangular matrices, shape (..., columns, columns), from packed triangles, shape (..., numbers)."""
    columns = columns_of(triangles)
    matrices = np.zeros((*triangles.shape[:-1], columns, columns), triangles.dtype)
    for row, place in enumerate(_rows(columns)):
        matrices[..., row, row:] = triangles[..., place]
    return matrices


def symmetric(triangles: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return symmetric matrices, shape (..., columns, columns), from packed triangles, shape (..., numbers)."""
    columns = columns_of(triangles)
    matrices = np.empty((triangles[..., 0].size, columns, columns))
    _fill_symmetric(matrices, np.array(triangles, np.float64).reshape(len(matrices), -1))
    return matrices.reshape(*triangles.shape[:-1], columns, columns)


def diagonals(triangles: NDArray[Number]) -> NDArray[Number]:
    """Return the diagonals, shape (..., columns), of packed triangles, shape (..., numbers)."""
    columns = np.arange(columns_of(triangles))
    return triangles[..., columns * (2 * len(columns) - columns + 1) // 2]


def columns_of(triangles: NDArray[Any]) -> int:
    """Return the number of columns of the matrices with these packed triangles, shape (..., numbers)."""
    return (math.isqrt(8 * triangles.shape[-1] + 1) - 1) // 2


@compiled()
def _fill_symmetric(
    matrices: Annotated[NDArray[np.float64], Contiguous(3)],
    triangles: Annotated[NDArray[np.float64], Contiguous(2)],
) -> None:
    """Fill one matrix after another, and its lower triangle tile by tile: slices of many matrices miss the caches."""
    columns = matrices.shape[1]
    for index in range(len(matrices)):
        place = 0
        for row in range(columns):
            for column in range(row, columns):
                matrices[index, row, column] = triangles[index, place]
                place += 1
        for first_row in range(0, columns, _TILE):
            for first_column in range(0, first_row + 1, _TILE):
                for row in range(first_row, min(first_row + _TILE, columns)):
                    for column in range(first_column, min(first_column + _TILE, row)):
                        matrices[index, row, column] = matrices[index, column, row]


def _rows(columns: int) -> Iterator[slice]:
    """Yield the place of each row in a packed triangle. Indices of all entries would take twice a triangle's memory."""
    end = 0
    for row in range(columns):
        begin, end = end, end + columns - row
        yield slice(begin, end)
