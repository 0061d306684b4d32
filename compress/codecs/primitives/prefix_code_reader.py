"""Compiled reader of the table of a prefix code, which may have as many symbols as a small tensor.

Functions return a `Problem` (0 for none), a number for its message, and the bit after what was read.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numba import types
from numpy.typing import NDArray

from compress.codecs.primitives.prefix_bits import LENGTH_BITS
from compress.runtime.jit import compiled


class Problem(IntEnum):
    """What is wrong with a table."""

    CUT_OFF = 1
    LARGE_NUMBER = 2
    LARGE_SYMBOL = 3
    LONG_RUN = 4
    LENGTH = 5
    BOTH_WAYS = 6  # otherwise a table could have any number of useless steps
    MANY_SYMBOLS = 7
    INCOMPLETE = 8
    PADDING = 9


_CUT_OFF, _LARGE_NUMBER, _LARGE_SYMBOL, _LONG_RUN, _LENGTH, _BOTH_WAYS, _MANY_SYMBOLS, _INCOMPLETE, _PADDING = map(
    int, Problem
)
_MAX_SYMBOLS = 1 << 16
_MAX_ZEROS = 16
MAX_LENGTH = 16
"""Bits of the longest codeword allowed."""

_DATA = types.Array(types.uint8, 1, "C", readonly=True)
_READ = types.UniTuple(types.int64, 3)  # type: ignore[no-untyped-call]
_NUMBERS = types.int64[::1]
_CODE = types.Tuple([_READ, _NUMBERS, _NUMBERS])  # type: ignore[no-untyped-call]


@compiled(types.int64(_DATA, types.int64), inline=True)
def _bit(data: NDArray[np.uint8], at: int) -> int:
    """Return a bit; -1 after the last one."""
    return (data[at >> 3] >> (7 - (at & 7))) & 1 if at < 8 * data.size else -1


@compiled(_READ(_DATA, types.int64), inline=True)
def _read_gamma(data: NDArray[np.uint8], at: int) -> tuple[int, int, int]:
    """Read a number in Elias gamma code, up to 131,071."""
    zeros = 0
    while _bit(data, at) == 0:
        zeros += 1
        at += 1
        if zeros > _MAX_ZEROS:
            return _LARGE_NUMBER, 0, at
    if at + 1 + zeros > 8 * data.size:
        return _CUT_OFF, 0, 8 * data.size
    number = 1
    for _ in range(zeros):
        at += 1
        number = 2 * number + _bit(data, at)
    return 0, number, at + 1


@compiled(_READ(_DATA, types.int64, _NUMBERS), inline=True)
def _read_symbols(data: NDArray[np.uint8], at: int, symbols: NDArray[np.int64]) -> tuple[int, int, int]:
    """Read the symbols in use, as many as `symbols` has room for."""
    named, symbol = 0, 0
    while named < symbols.size:
        problem, absent, at = _read_gamma(data, at)
        if problem != 0:
            return problem, absent, at
        problem, present, at = _read_gamma(data, at)
        if problem != 0:
            return problem, present, at
        symbol += absent - 1
        if symbol + present > _MAX_SYMBOLS:
            return _LARGE_SYMBOL, symbol + present - 1, 0
        if named + present > symbols.size:
            return _LONG_RUN, 0, 0
        for _ in range(present):
            symbols[named] = symbol
            named += 1
            symbol += 1
    return 0, 0, at


@compiled(_READ(_DATA, types.int64, _NUMBERS), inline=True)
def _read_lengths(data: NDArray[np.uint8], at: int, lengths: NDArray[np.int64]) -> tuple[int, int, int]:
    """Read the lengths of two codewords or more."""
    if at + 4 > 8 * data.size:
        return _CUT_OFF, 0, 8 * data.size
    length = 1
    for place in range(4):
        length += _bit(data, at + place) << (3 - place)
    at += 4
    for index in range(lengths.size):
        direction = 0
        while _bit(data, at) == 1:
            step = 1 if _bit(data, at + 1) == 0 else -1
            if step == -direction:
                return _BOTH_WAYS, 0, 0
            direction = step
            length += step
            at += 2
            if length < 1 or length > MAX_LENGTH:
                return _LENGTH, length, 0
        if at >= 8 * data.size:
            return _CUT_OFF, 0, 8 * data.size
        lengths[index] = length
        at += 1
    return 0, 0, at


@compiled(_CODE(_DATA))
def read_code(data: NDArray[np.uint8]) -> tuple[tuple[int, int, int], NDArray[np.int64], NDArray[np.int64]]:
    """Read a table including its padding, and return its symbols and their lengths too."""
    none = np.zeros(0, np.int64)
    problem, count, at = _read_gamma(data, 0)
    if problem != 0:
        return (problem, count, at), none, none
    if count - 1 > _MAX_SYMBOLS:
        return (_MANY_SYMBOLS, count - 1, 0), none, none
    symbols, lengths = np.zeros(count - 1, np.int64), np.zeros(count - 1, np.int64)
    problem, number, at = _read_symbols(data, at, symbols)
    if problem != 0:
        return (problem, number, at), none, none
    if lengths.size > 1:
        problem, number, at = _read_lengths(data, at, lengths)
        if problem != 0:
            return (problem, number, at), none, none
        shares = 0
        for index in range(lengths.size):
            shares += 1 << (MAX_LENGTH - lengths[index])
        if shares != 1 << MAX_LENGTH:
            return (_INCOMPLETE, 0, 0), none, none
    end = (at + 7) >> 3
    if at & 7 and data[end - 1] & (0xFF >> (at & 7)):
        return (_PADDING, 0, 8 * (end - 1)), none, none
    return (0, 0, 8 * end), symbols, lengths


@compiled(types.int32[::1](_NUMBERS, _NUMBERS))
def decoding_table(symbols: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return `symbol << LENGTH_BITS | length` for every string of as many bits as the longest codeword."""
    longest = 0
    for index in range(lengths.size):
        longest = max(longest, int(lengths[index]))
    table = np.empty(1 << longest if lengths.size > 0 else 0, np.int32)
    at = 0
    for length in range(longest + 1):
        share = 1 << (longest - length)
        for index in range(lengths.size):
            if lengths[index] == length:
                table[at : at + share] = symbols[index] << LENGTH_BITS | length
                at += share
    return table
