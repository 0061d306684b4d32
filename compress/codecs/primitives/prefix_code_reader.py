"""Compiled reader of the table of a prefix code.

Functions return a key of `PROBLEMS` (0 for none), a number for its message, and the bit after what was read.
"""

from __future__ import annotations

import numpy as np

from compress.codecs.primitives.prefix_bits import LENGTH_BITS, ReadOnlyBytes, Table
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
"""What is wrong, and what was expected."""

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


@compiled()
def read_code(data: ReadOnlyBytes) -> tuple[_Read, Counts, Counts]:
    """Read a table, check its padding, and return its symbols and their lengths too."""
    count, at = _read_gamma(data, 0)
    problem, number = 0 if count else _LARGE_NUMBER, 0
    symbols, lengths = np.zeros(max(count - 1, 0), np.int64), np.zeros(max(count - 1, 0), np.int64)
    if problem == 0:
        problem, number, at = _read_symbols(data, at, symbols)
    if problem == 0 and lengths.size > 1:
        problem, number, at = _read_lengths(data, at, lengths)
    if at > 8 * data.size:  # zeros were read after the end
        problem, at = _CUT_OFF, 8 * data.size
    if problem == 0 and at & 7 and data[at >> 3] & (0xFF >> (at & 7)):
        problem = _PADDING
    return (problem, number, at), symbols, lengths


@compiled()
def decoding_table(symbols: Counts, lengths: Counts) -> Table:
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
