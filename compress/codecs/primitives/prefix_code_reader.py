"""Compiled reader of the table of a prefix code.

Functions return a key of `PROBLEMS` (0 for none), a number for its message, and the bit after what was read.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compress.codecs.primitives.prefix_bits import ReadOnlyBytes
from compress.codecs.primitives.symbol_histogram import Counts
from compress.runtime.jit import compiled

MAX_LENGTH = 16
"""Bits of the longest codeword allowed."""

_MAX_SYMBOLS = 1 << 16
_MAX_DIGITS = 17

_CUT_OFF, _LARGE_NUMBER, _LARGE_SYMBOL, _LONG_RUN, _LENGTH, _BOTH_WAYS, _INCOMPLETE, _PADDING = range(1, 9)
PROBLEMS = {
    _CUT_OFF: ("the code is cut off", None),
    _LARGE_NUMBER: ("a number in the code is over 131,071", None),
    _LARGE_SYMBOL: ("symbol {:,} in the code", "at most 65,535"),
    _LONG_RUN: ("the code names more symbols than it has", None),
    _LENGTH: ("a codeword of {} bits", f"1 to {MAX_LENGTH}"),
    _BOTH_WAYS: ("steps of a codeword's length go both ways", None),  # a table could have any number of useless steps
    _INCOMPLETE: ("the lengths of codewords do not make a complete prefix code", None),
    _PADDING: ("padding after the code is not zero", None),
}
"""The problem, and the expected value if there is one, by error code."""

_USUAL_COUNT = 256
"""Symbols of a table that is read at once; a larger table is read again with more room."""

_Read = tuple[int, int, int]


@compiled(inline=True)
def _bit(data: ReadOnlyBytes, at: int) -> int:
    """Return a bit; 0 after the last one."""
    return (data[at >> 3] >> (7 - (at & 7))) & 1 if at < 8 * data.size else 0


@compiled(inline=True)
def _read_gamma(data: ReadOnlyBytes, at: int) -> tuple[int, int]:
    """Return a number in Elias gamma code, and the bit after it; 0 for a number over 131,071."""
    digits = 1
    while _bit(data, at) == 0:
        digits += 1
        at += 1
        if digits > _MAX_DIGITS:
            return 0, at
    number = 0
    for _ in range(digits):
        number = 2 * number + _bit(data, at)
        at += 1
    return number, at


@compiled(inline=True)
def _read_symbols(data: ReadOnlyBytes, at: int, symbols: Counts) -> _Read:
    """Read the symbols in use, as many as `symbols` has room for."""
    named, symbol = 0, 0
    while named < symbols.size:
        absent, at = _read_gamma(data, at)
        present, at = _read_gamma(data, at)
        if absent == 0 or present == 0:
            return _LARGE_NUMBER, 0, at
        symbol += absent - 1
        if symbol + present > _MAX_SYMBOLS:
            return _LARGE_SYMBOL, symbol + present - 1, at
        if named + present > symbols.size:
            return _LONG_RUN, 0, at
        for _ in range(present):
            symbols[named] = symbol
            named += 1
            symbol += 1
    return 0, 0, at


@compiled(inline=True)
def _read_lengths(data: ReadOnlyBytes, at: int, lengths: Counts) -> _Read:
    """Read the lengths of two codewords or more."""
    length, shares = 1, 0
    for place in range(4):
        length += _bit(data, at + place) << (3 - place)
    at += 4
    for index in range(lengths.size):
        direction = 0
        while _bit(data, at) == 1:
            step = 1 - 2 * _bit(data, at + 1)
            if step == -direction:
                return _BOTH_WAYS, 0, at
            direction = step
            length += step
            at += 2
            if length < 1 or length > MAX_LENGTH:
                return _LENGTH, length, at
        lengths[index] = length
        shares += 1 << (MAX_LENGTH - length)
        at += 1
    return 0 if shares == 1 << MAX_LENGTH else _INCOMPLETE, 0, at


def read_code(data: bytes) -> tuple[_Read, NDArray[np.int64], NDArray[np.int64]]:
    """Read a table, check its padding, and return its symbols and their lengths too."""
    room, count = 0, _USUAL_COUNT
    while count > room:
        room = count
        symbols, lengths = np.zeros((2, room), np.int64)
        read, count = _read_code(np.frombuffer(data, np.uint8), symbols, lengths)
    return read, symbols[:count], lengths[:count]


@compiled()
def _read_code(data: ReadOnlyBytes, symbols: Counts, lengths: Counts) -> tuple[_Read, int]:
    """Fill two arrays of zeros if they have room for all symbols; return the number of symbols too."""
    next_number, at = _read_gamma(data, 0)
    problem, number, count = 0 if next_number else _LARGE_NUMBER, 0, max(next_number - 1, 0)
    if count > symbols.size:
        return (problem, number, at), count
    if problem == 0:
        problem, number, at = _read_symbols(data, at, symbols[:count])
    if problem == 0 and count > 1:
        problem, number, at = _read_lengths(data, at, lengths[:count])
    if at > 8 * data.size:  # zeros were read after the end
        problem, at = _CUT_OFF, 8 * data.size
    if problem == 0 and at & 7 and data[at >> 3] & (0xFF >> (at & 7)):
        problem = _PADDING
    return (problem, number, at), count
