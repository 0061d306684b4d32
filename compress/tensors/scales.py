"""Scales of quantized weights: powers of 2 ** (1 / 4), stored as int8 exponents."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SCALE_STEPS_PER_OCTAVE = 4
"""Steps of 19%: rounding a scale costs nothing measurable."""

_FRACTIONS = np.array([1.0, 2.0**0.25, 2.0**0.5, 2.0**0.75], dtype=np.float32)


def scale_of(exponents: NDArray[np.integer]) -> NDArray[np.float32]:
    """Return 2 ** (exponents / 4) as float32.

    Each is a table entry times an exact power of two, so that every reader gets the same bits.
    """
    wide = exponents.astype(np.int32)
    scale: NDArray[np.float32] = np.ldexp(_FRACTIONS[wide & 3], wide >> 2)
    return scale


_SCALES = scale_of(np.r_[0 : 3 * 127 + 1, 3 * -128 : 0])
"""The scale of each sum of up to three exponents, at the index of the sum; negative indices count from the end."""


def weight_scales(
    dimensions: int,
    row_exponents: NDArray[np.int8] | None,
    column_exponents: NDArray[np.int8] | None,
    coefficient_exponents: NDArray[np.int8] | None = None,
) -> NDArray[np.float32]:
    """Return the float32 scales of a `Shared` tensor's weights or coefficients, broadcastable to its shape."""
    exponents: NDArray[np.int16] = np.zeros((1,) * dimensions, dtype=np.int16)
    for axis, part in enumerate((row_exponents, column_exponents)):
        if part is not None:
            exponents = exponents + np.expand_dims(part, [other for other in range(dimensions) if other != axis])
    if coefficient_exponents is not None:
        exponents = exponents + coefficient_exponents
    return _SCALES.take(exponents)
