"""Escape codes of codec `context`: the part of a magnitude that its unary decisions leave open.

Large magnitudes continue with an adaptive Exp-Golomb code, magnitudes in units with the digits within the unit. Every
number is part of the format (docs/format.md).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compress.codecs.context.logistic_mixing import INITIAL_PROBABILITY, CoderArrays, code_adaptive
from compress.codecs.primitives.range_coder import Coder
from compress.runtime.jit import compiled

_SCALES = 8
_EXPONENTS = 16
_PREFIXES, _POSITIONS = 8, 16  # contexts of a digit: the digits so far if below 8, else the number of digits to come

ESCAPE_PROBABILITIES = (_SCALES + _PREFIXES + _POSITIONS) * _EXPONENTS
"""Number of adaptive probabilities of `code_escape`."""

_UNITS = 8  # units with digit probabilities of their own; larger ones share the last
_LAST_DIGIT_UPDATES = 8  # initial update count of the last digit's probability


def new_digit_probabilities(unit_bits: int) -> NDArray[np.int32]:
    """Return initial probabilities of digits, nearly uniform: more significant digits start with more updates."""
    probabilities = np.full((_UNITS, 1 << unit_bits), INITIAL_PROBABILITY, dtype=np.int32)
    for digit in range(unit_bits):
        probabilities[:, 1 << digit : 2 << digit] += min(_LAST_DIGIT_UPDATES << (unit_bits - 1 - digit), 255)
    return probabilities.ravel()


@compiled(inline=True)
def code_escape(coder: Coder, arrays: CoderArrays, first: int, scale: int, number: int) -> tuple[Coder, int]:
    """Code a number from 1 to 65,535: in unary how many binary digits follow its first, then these digits.

    Their probabilities start at index `first`; `scale` is the expected magnitude, 0 to 7.
    """
    exponent = 0
    while exponent < _EXPONENTS - 1:
        longer = int(number >> (exponent + 1) > 0)
        coder, longer = code_adaptive(coder, arrays, longer, first + scale * _EXPONENTS + exponent)
        if not longer:
            break
        exponent += 1
    digits = first + _SCALES * _EXPONENTS + (_PREFIXES + _POSITIONS) * exponent
    prefix = 1
    for digit in range(exponent - 1, -1, -1):
        context = prefix if prefix < _PREFIXES else _PREFIXES + digit
        coder, bit = code_adaptive(coder, arrays, (number >> digit) & 1, digits + context)
        prefix = 2 * prefix + bit
    return coder, prefix


@compiled(inline=True)
def code_digits(
    coder: Coder, arrays: CoderArrays, first: int, unit_bits: int, units: int, number: int
) -> tuple[Coder, int]:
    """Code the digits of a magnitude within the last of its `units`, and return the magnitude.

    To encode, `number` is the magnitude minus 1. The probabilities of digits start at index `first`.
    """
    slots = first + ((min(units, _UNITS) - 1) << unit_bits)
    prefix = 1
    for digit in range(unit_bits - 1, -1, -1):
        coder, bit = code_adaptive(coder, arrays, (number >> digit) & 1, slots + prefix)
        prefix = 2 * prefix + bit
    return coder, ((units - 2) << unit_bits) + prefix + 1
