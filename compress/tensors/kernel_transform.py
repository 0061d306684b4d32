"""Kernels of 3 by 3 as sums of nine patterns: taps <-> coefficients.

What neighbouring taps have in common costs a network much, as photos are smooth; what tells them apart costs little.
Coefficients keep the two apart, so that each is coded as finely as it needs. Along each of a kernel's two dimensions
there are three patterns, the cosine transform's without its roots, from the finest to the coarsest:

    1 -2  1
    1  0 -1
    1  1  1

and the pattern of coefficient (i, j) is the product of pattern i down the kernel and pattern j along it.
Source: Ahmed, Natarajan & Rao 1974, "Discrete cosine transform".
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 3
"""Taps of a kernel in each of its two dimensions."""

_PATTERNS = np.array([[1, -2, 1], [1, 0, -1], [1, 1, 1]], dtype=np.float64)

PATTERNS = np.kron(_PATTERNS, _PATTERNS)
"""float64, shape (9, 9): of each coefficient, row-major, its pattern's taps, row-major; rows are orthogonal."""
PATTERNS.flags.writeable = False

LARGEST_GAIN = 16
"""A tap is less than so many times the largest coefficient, however additions round: it is at most 9 times that."""


def has_kernels(shape: tuple[int, ...]) -> bool:
    """Tell whether a weight tensor's dimensions from the third on are those of a kernel of 3 by 3."""
    return len(shape) == 4 and shape[2:] == (SIDE, SIDE)


def kernels_of(coefficients: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the kernels that coefficients stand for.

    Each tap is computed by the same float32 additions everywhere, first along the kernel, then down it, so that every
    reader gets the same bits.

    Args:
        coefficients: float32, shape (..., 3, 3).
    Returns:
        float32, the same shape.
    """
    return _summed(_summed(coefficients, -1), -2)


def coefficients_of(kernels: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the coefficients of kernels: the inverse of the other function, but for rounding.

    Args:
        kernels: shape (..., 3, 3); or (..., n * 9), the taps of n kernels one after the other.
    Returns:
        float64, the same shape.
    """
    inverse = PATTERNS.T / np.square(PATTERNS).sum(1)
    found: NDArray[np.float64] = (kernels.reshape(-1, SIDE**2).astype(np.float64) @ inverse).reshape(kernels.shape)
    return found


def _summed(coefficients: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Add the three patterns up along a dimension, each times its coefficient."""
    finest, middle, coarsest = (coefficients.take([place], axis) for place in range(SIDE))
    outer = coarsest + finest
    summed: NDArray[np.float32] = np.concatenate([outer + middle, coarsest - 2 * finest, outer - middle], axis)
    return summed
