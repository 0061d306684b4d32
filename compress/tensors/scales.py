"""TODO."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SCALE_STEPS_PER_OCTAVE = 4
"""Scales are powers of 2 ** (1 / 4): a step of 19%, fine enough that its rounding costs nothing measurable."""

_FRACTIONS = np.array([1.0, 2.0**0.25, 2.0**0.5, 2.0**0.75], dtype=np.float32)


def scale_of(exponents: NDArray[np.integer]) -> NDArray[np.float32]:
    """Return 2 ** (exponents / 4) as float32, from one table and exact powers of two.

    Every reader gets the same bits: the four fractions are rounded once, and a power of two never rounds.
    """
    wide = np.asarray(exponents, dtype=np.int32)
    scale: NDArray[np.float32] = np.ldexp(_FRACTIONS[wide & 3], wide >> 2).astype(np.float32)
    return scale


def weight_scales(
    dimensions: int,
    row_exponents: NDArray[np.int8] | None,
    column_exponents: NDArray[np.int8] | None,
    coefficient_exponents: NDArray[np.int8] | None = None,
) -> NDArray[np.float32]:
    """Return the float32 scale of every weight or coefficient, broadcastable to its tensor's shape; see `Shared`."""
    exponents: NDArray[np.int32] = np.zeros((1,) * dimensions, dtype=np.int32)
    for axis, part in enumerate((row_exponents, column_exponents)):
        if part is not None:
            along = [1] * dimensions
            along[axis] = -1
            exponents = exponents + part.astype(np.int32).reshape(along)
    if coefficient_exponents is not None:
        exponents = exponents + coefficient_exponents.astype(np.int32)
    return scale_of(exponents)
