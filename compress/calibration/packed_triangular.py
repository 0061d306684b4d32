"""Packed storage of symmetric and upper triangular matrices: the rows of the upper triangle one after another.

A matrix of n columns takes n * (n + 1) / 2 numbers. Row j starts at its diagonal and has n - j numbers.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", bound=np.generic)


def packed(matrices: NDArray[Number]) -> NDArray[Number]:
    """Return the packed upper triangles, shape (..., numbers), of matrices, shape (..., columns, columns)."""
    columns = matrices.shape[-1]
    return matrices.reshape(*matrices.shape[:-2], columns**2).take(_flat_indices(columns), axis=-1)


def upper(triangles: NDArray[Number]) -> NDArray[Number]:
    """Return upper triangular matrices, shape (..., columns, columns), from packed triangles, shape (..., numbers)."""
    columns = columns_of(triangles)
    matrices = np.zeros((*triangles.shape[:-1], columns**2), triangles.dtype)
    matrices[..., _flat_indices(columns)] = triangles
    return matrices.reshape(*triangles.shape[:-1], columns, columns)


def symmetric(triangles: NDArray[Number]) -> NDArray[Number]:
    """Return symmetric matrices, shape (..., columns, columns), from packed triangles, shape (..., numbers)."""
    matrices = upper(triangles)
    rows, columns = np.triu_indices(matrices.shape[-1], 1)
    matrices[..., columns, rows] = matrices[..., rows, columns]
    return matrices


def diagonals(triangles: NDArray[Number]) -> NDArray[Number]:
    """Return the diagonals, shape (..., columns), of packed triangles, shape (..., numbers)."""
    columns = np.arange(columns_of(triangles))
    return triangles[..., columns * (2 * len(columns) - columns + 1) // 2]


def columns_of(triangles: NDArray[Any]) -> int:
    """Return the number of columns of the matrices with these packed triangles, shape (..., numbers)."""
    return (math.isqrt(8 * triangles.shape[-1] + 1) - 1) // 2


@cache  # a network has few row lengths
def _flat_indices(columns: int) -> NDArray[np.int64]:
    """Return the indices of the upper triangle in a flattened matrix."""
    return np.ravel_multi_index(np.triu_indices(columns), (columns, columns)).astype(np.int64)
