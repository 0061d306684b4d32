"""Transform of 3x3 kernels: taps <-> coefficients of a two-dimensional cosine basis.

Errors in low frequencies cost a network most, so quantization gives each coefficient its own step. The patterns along
each dimension are those of the cosine transform without its roots, from the highest frequency down:

    1 -2  1
    1  0 -1
    1  1  1

A basis kernel is the outer product of a vertical and a horizontal pattern.
Source: Ahmed, Natarajan & Rao 1974, "Discrete cosine transform".
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

KERNEL_SIDE = 3
"""Height and width of a kernel, in taps."""

_PATTERNS = np.array([[1, -2, 1], [1, 0, -1], [1, 1, 1]], dtype=np.float64)

KERNEL_BASIS = np.kron(_PATTERNS, _PATTERNS)
"""float64, shape (9, 9): row i has the taps of coefficient i's basis kernel. Rows are orthogonal."""
KERNEL_BASIS.flags.writeable = False

MAX_KERNEL_GAIN = 16
"""Bound of the largest tap over the largest coefficient: 9 before rounding."""


def has_3x3_kernels(shape: tuple[int, ...]) -> bool:
    """Return whether a weight tensor of this shape consists of 3x3 kernels."""
    return len(shape) == 4 and shape[2:] == (KERNEL_SIDE, KERNEL_SIDE)


def kernels_from_coefficients(coefficients: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the kernels of coefficients, both float32, shape (..., 3, 3).

    The order of the float32 additions is part of the file format.
    """
    return _sum_patterns(_sum_patterns(coefficients, -1), -2)


def coefficients_from_kernels(kernels: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the coefficients of kernels, shape (..., 3, 3) or (..., n * 9) for n kernels in a row, up to rounding."""
    inverse = KERNEL_BASIS.T / np.square(KERNEL_BASIS).sum(1)
    coefficients: NDArray[np.float64] = kernels.reshape(-1, KERNEL_SIDE**2).astype(np.float64) @ inverse
    return coefficients.reshape(kernels.shape)


def derivatives_by_coefficient(by_tap: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return derivatives by the coefficients of kernels, given those by their taps, both shape (..., n * 9)."""
    summed: NDArray[np.float64] = by_tap.reshape(-1, KERNEL_SIDE**2).astype(np.float64) @ KERNEL_BASIS.T
    return summed.reshape(by_tap.shape)


def _sum_patterns(coefficients: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    high, middle, low = (coefficients.take([index], axis) for index in range(KERNEL_SIDE))
    outer = low + high
    return np.concatenate([outer + middle, low - 2 * high, outer - middle], axis)
