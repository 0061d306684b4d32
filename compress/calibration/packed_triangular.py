"""Packed storage of symmetric and upper triangular matrices: the rows of the upper triangle one after another.

A matrix of n columns takes n * (n + 1) / 2 numbers. Row j starts at its diagonal and has n - j numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", bound=np.generic)


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


def symmetric(triangles: NDArray[Number]) -> NDArray[Number]:
    """Return symmetric matrices, shape (..., columns, columns), from packed triangles, shape (..., numbers)."""
    matrices = upper(triangles)
    for row in range(matrices.shape[-1]):
        matrices[..., row + 1 :, row] = matrices[..., row, row + 1 :]
    return matrices


def diagonals(triangles: NDArray[Number]) -> NDArray[Number]:
    """Return the diagonals, shape (..., columns), of packed triangles, shape (..., numbers)."""
    columns = np.arange(columns_of(triangles))
    return triangles[..., columns * (2 * len(columns) - columns + 1) // 2]


def columns_of(triangles: NDArray[Any]) -> int:
    """Return the number of columns of the matrices with these packed triangles, shape (..., numbers)."""
    return (math.isqrt(8 * triangles.shape[-1] + 1) - 1) // 2


def _rows(columns: int) -> Iterator[slice]:
    """Yield the place of each row in a packed triangle. Indices of all entries would take twice a triangle's memory."""
    end = 0
    for row in range(columns):
        begin, end = end, end + columns - row
        yield slice(begin, end)
