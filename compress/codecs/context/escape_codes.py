"""What is left of a magnitude after the decisions "larger still?" of codec `context`: large ones, digits; compiled.

Every number here is part of the format (docs/format.md): to change one is to make another codec.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from compress.codecs.context.logistic_mixing import ESTIMATES, UNDECIDED, code_by_one
from compress.codecs.primitives.range_coder import CODER, DATA, Coder
from compress.runtime.jit import compiled

MOST_UNIT_BITS = 8
"""Binary logarithm of the largest unit of magnitudes."""

_SCALES = 8
_EXPONENTS = 16
_KNOWN, _TO_COME = 8, 16  # contexts of a digit: the number as far as it is known, and beyond 8 how many are to come

ESTIMATES_OF_RESTS = (_SCALES + _KNOWN + _TO_COME) * _EXPONENTS
"""How many estimates `code_rest` has."""

_UNITS_APART = 8  # units whose digits have estimates of their own; those of larger ones share the last
_SEEN_BY_LAST = 8  # bits that the estimate of a unit's last digit begins as if it had seen

_CODED = types.Tuple([CODER, types.int64])  # type: ignore[no-untyped-call]


def new_estimates_of_digits(unit_bits: int) -> NDArray[np.int32]:
    """Return the estimates that `code_digits` begins with.

    Digits are nearly even: their estimates begin as if they had seen some, the more, the more they tell apart.

    Args:
        unit_bits: binary logarithm of the unit.
    """
    estimates = np.full((_UNITS_APART, 1 << unit_bits), UNDECIDED, dtype=np.int32)
    for known in range(unit_bits):
        estimates[:, 1 << known : 2 << known] += min(_SEEN_BY_LAST << (unit_bits - 1 - known), 255)
    return estimates.ravel()


@compiled(_CODED(CODER, DATA, ESTIMATES, types.int64, types.int64, types.int64), inline=True)
def code_rest(
    coder: Coder, data: NDArray[np.uint8], estimates: NDArray[np.int32], first: int, scale: int, rest: int
) -> tuple[Coder, int]:
    """Code a whole number from 1 to 65,535: how many binary digits follow its first, and these.

    Args:
        coder: as in `code_bit`.
        data: as in `code_bit`.
        estimates: all there are.
        first: where those of rests begin.
        scale: how large it is expected to be, 0 to 7.
        rest: what to encode.
    """
    exponent = 0
    while exponent < _EXPONENTS - 1:
        longer = int(rest >> (exponent + 1) > 0)
        coder, longer = code_by_one(coder, data, longer, estimates, first + scale * _EXPONENTS + exponent)
        if not longer:
            break
        exponent += 1
    digits = first + _SCALES * _EXPONENTS + (_KNOWN + _TO_COME) * exponent
    number = 1
    for digit in range(exponent - 1, -1, -1):
        which = number if number < _KNOWN else _KNOWN + digit  # later digits are nearly even, whatever came before
        coder, bit = code_by_one(coder, data, (rest >> digit) & 1, estimates, digits + which)
        number = 2 * number + bit
    return coder, number


@compiled(_CODED(CODER, DATA, ESTIMATES, types.int64, types.int64, types.int64, types.int64), inline=True)
def code_digits(
    coder: Coder,
    data: NDArray[np.uint8],
    estimates: NDArray[np.int32],
    first: int,
    unit_bits: int,
    begun: int,
    before: int,
) -> tuple[Coder, int]:
    """Code which magnitude of the last unit begun it is, and return that.

    Args:
        coder: as in `code_bit`.
        data: as in `code_bit`.
        estimates: all there are.
        first: where those of digits begin.
        unit_bits: binary logarithm of the unit.
        begun: how many units the magnitude begins, 1 or more.
        before: what to encode: how many magnitudes above zero are smaller.
    """
    slots = first + ((min(begun, _UNITS_APART) - 1) << unit_bits)
    known = 1
    for digit in range(unit_bits - 1, -1, -1):
        coder, bit = code_by_one(coder, data, (before >> digit) & 1, estimates, slots + known)
        known = 2 * known + bit
    return coder, ((begun - 2) << unit_bits) + known + 1
