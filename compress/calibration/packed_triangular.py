"""Symmetric and triangular matrices by their upper triangles, row after row: half of the numbers that they have.

Of n columns a triangle has n * (n + 1) / 2 numbers; row j begins at its diagonal, n - j numbers before row j + 1 does.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", bound=np.generic)


def packed(matrices: NDArray[Number]) -> NDArray[Number]:
    """Return the upper triangles of matrices, shape (..., columns, columns), as (..., numbers), in row-major order."""
    columns = matrices.shape[-1]
    return matrices.reshape(*matrices.shape[:-2], columns**2).take(_places(columns), axis=-1)


def upper(triangles: NDArray[Number]) -> NDArray[Number]:
    """Return upper triangular matrices, shape (..., columns, columns), of triangles, shape (..., numbers)."""
    columns = columns_of(triangles)
    matrices = np.zeros((*triangles.shape[:-1], columns**2), triangles.dtype)
    matrices[..., _places(columns)] = triangles
    return matrices.reshape(*triangles.shape[:-1], columns, columns)


def symmetric(triangles: NDArray[Number]) -> NDArray[Number]:
    """Return symmetric matrices, shape (..., columns, columns), of triangles, shape (..., numbers)."""
    matrices = upper(triangles)
    rows, columns = np.triu_indices(matrices.shape[-1], 1)
    matrices[..., columns, rows] = matrices[..., rows, columns]
    return matrices


def diagonals(triangles: NDArray[Number]) -> NDArray[Number]:
    """Return the diagonals, shape (..., columns), of triangles, shape (..., numbers)."""
    columns = np.arange(columns_of(triangles))
    return triangles[..., columns * (2 * len(columns) - columns + 1) // 2]


def columns_of(triangles: NDArray[Any]) -> int:
    """Return how many columns the matrices have whose triangles these are, shape (..., numbers)."""
    return (math.isqrt(8 * triangles.shape[-1] + 1) - 1) // 2


@cache  # a network has few sizes of rows, and asks for each once a row
def _places(columns: int) -> NDArray[np.int64]:
    """Return the places of the upper triangle in a matrix of so many columns that is one row."""
    rows, along = np.triu_indices(columns)
    places: NDArray[np.int64] = rows * columns + along
    return places
