"""Zigzag code: signed integers <-> unsigned integers of the same width; small magnitudes get small codes.

The codes of 0, -1, 1, -2, 2 are 0, 1, 2, 3, 4, as in Protocol Buffers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def zigzag_encode(numbers: NDArray[np.signedinteger[Any]]) -> NDArray[Any]:
    """Return the codes of signed integers: unsigned, the same width and shape."""
    codes = (numbers << 1) ^ (numbers >> (8 * numbers.itemsize - 1))
    return codes.view(f"u{numbers.itemsize}")


def zigzag_decode(codes: NDArray[np.unsignedinteger[Any]]) -> NDArray[Any]:
    """Return the signed integers of codes: the inverse of `zigzag_encode`."""
    numbers: NDArray[Any] = (codes >> 1) ^ np.negative(codes & 1)
    return numbers.view(f"i{codes.itemsize}")
