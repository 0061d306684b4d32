"""Codewords <-> bytes, compiled. Bits fill each byte from the most significant one; zeros pad the last byte.

numba turns sums of signed and unsigned integers into floats, so none are mixed.
"""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from compress.codecs.primitives.range_coder import Bytes
from compress.codecs.primitives.symbol_histogram import Symbols
from compress.errors import FormatError
from compress.runtime.jit import Contiguous, compiled

LENGTH_BITS = 5
"""Low bits of an entry of an encoding or decoding table, with the codeword's length, 0 to 16."""

ReadOnlyBytes = Annotated[NDArray[np.uint8], Contiguous(1, readonly=True)]
Table = Annotated[NDArray[np.int32], Contiguous(1, readonly=True)]
Tables = Annotated[NDArray[np.int32], Contiguous(2, readonly=True)]
Selectors = Annotated[NDArray[np.uint8], Contiguous(1, readonly=True)]
_Pairs = Annotated[NDArray[np.uint64], Contiguous(1)]
_Out = Annotated[NDArray[np.uint16], Contiguous(1)]
_PAIR_BITS = 12
"""Bits of one lookup; a table for more bits would outgrow the fastest cache."""


@compiled()
def _pack(symbols: Symbols, codes: Tables, code_of_column: Selectors, taps: int, out: Bytes) -> None:
    """Fill `out`, which is zeros, with codewords.

    Args:
        symbols: row by row; `taps` symbols of a column follow one another.
        codes: `codeword << LENGTH_BITS | length` for each code and symbol.
        code_of_column: shape (columns,).
        taps: at least 1.
        out: zeros pad the last byte.
    """
    window, held, at, column, tap = 0, 0, 0, 0, 0
    for symbol in symbols:
        entry = codes[code_of_column[column], symbol]
        window = (window << (entry & 31)) | (entry >> 5)
        held += entry & 31
        while held >= 8:
            held -= 8
            out[at] = window >> held
            window &= (1 << held) - 1
            at += 1
        tap += 1
        if tap == taps:
            tap, column = 0, column + 1 if column + 1 < code_of_column.size else 0
    if held > 0:
        out[at] = window << (8 - held)


@compiled()
def _fill_pairs(pairs: _Pairs, table: Table, table_bits: int, pair_bits: int) -> None:
    """Fill `pairs`, which is zeros, with the first two codewords, or the first, of each string of `pair_bits` bits.

    From the lowest bits: bits of both (5), whether there are two (1), first symbol (16), second symbol (16); 0 if no
    codeword fits.
    """
    more = table_bits - pair_bits
    for bits in range(pairs.size):
        first = table[bits << more]
        length = first & 31
        second = table[(bits << (more + length)) & (table.size - 1)]
        both = length + (second & 31)
        if both <= pair_bits:
            pairs[bits] = both | 1 << 5 | (first >> 5) << 6 | (second >> 5) << 22
        elif length <= pair_bits:
            pairs[bits] = length | (first >> 5) << 6


@compiled(inline=True)
def _eight_bytes(data: ReadOnlyBytes, at: np.uint64) -> np.uint64:
    """Return eight bytes as one number; the compiler emits one load."""
    word = np.uint64(0)
    for place in range(8):
        word |= np.uint64(data[at + np.uint64(place)]) << np.uint64(56 - 8 * place)
    return word


@compiled()
def _unpack(data: ReadOnlyBytes, table: Table, table_bits: int, pairs: _Pairs, out: _Out) -> int:
    """Fill `out` with symbols, and return the number of bits read; -1 if they end before the last codeword.

    `pairs` are zeros, one for each string of `table_bits` bits, but of at most `_PAIR_BITS`. While eight more bytes and
    six more symbols remain, one load fills a 64-bit window with three codewords.
    """
    pair_bits = min(table_bits, _PAIR_BITS)
    _fill_pairs(pairs, table, table_bits, pair_bits)
    window, held, at, i = np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0)
    shift, pair_shift = np.uint64(64 - table_bits), np.uint64(64 - pair_bits)
    one, three, five, byte = np.uint64(1), np.uint64(3), np.uint64(5), np.uint64(8)
    whole, highest, length_mask = np.uint64(56), np.uint64(63), np.uint64(31)
    first_bits, second_bits = np.uint64(6), np.uint64(22)
    size, count = np.uint64(data.size), np.uint64(out.size)
    while at + byte <= size and i + np.uint64(6) <= count:
        window |= _eight_bytes(data, at) >> held
        at += (highest - held) >> three
        held |= whole
        for _ in range(3):
            pair = pairs[window >> pair_shift]
            if pair != 0:
                out[i] = pair >> first_bits
                out[i + one] = pair >> second_bits  # overwritten by the next symbol if there are not two
                i += one + ((pair >> five) & one)
            else:
                pair = np.uint64(table[window >> shift])
                out[i] = pair >> five
                i += one
            length = pair & length_mask
            held -= length
            window <<= length
    while i < count:
        while held <= whole and at < size:
            window |= np.uint64(data[at]) << (whole - held)
            held += byte
            at += one
        entry = np.uint64(table[window >> shift])
        length = entry & length_mask
        if length > held:
            return -1
        out[i] = entry >> five
        i += one
        held -= length
        window <<= length
    return np.int64(at * byte - held)  # type: ignore[return-value]


def pack(symbols: NDArray[np.uint16], code: NDArray[np.int32], bits: int) -> bytes:
    """Return the codewords of `symbols`, `bits` bits together.

    The table `code` has `codeword << LENGTH_BITS | length` for every symbol up to the largest.
    """
    return pack_columns(symbols.reshape(-1), code[None], np.zeros(1, np.uint8), bits)


def pack_columns(
    symbols: NDArray[np.uint16], codes: NDArray[np.int32], code_of_column: NDArray[np.uint8], bits: int
) -> bytes:
    """Return the codewords as `pack`, where the index in the second dimension of `symbols` selects a row of `codes`."""
    out = np.zeros((bits + 7) // 8, dtype=np.uint8)
    _pack(np.ascontiguousarray(symbols).reshape(-1), codes, code_of_column, math.prod(symbols.shape[2:]), out)
    return out.tobytes()


def unpack(data: bytes, start: int, table: NDArray[np.int32], count: int) -> NDArray[np.uint16]:
    """Return the `count` symbols whose codewords are exactly `data[start:]`.

    The table has `symbol << LENGTH_BITS | length` for each string of as many bits as the longest codeword, of a
    complete code whose shortest codeword is all zeros.

    Raises:
        FormatError: the bits end too early, bytes are left over, or the padding is not zero.
    """
    shortest = int(table[0]) & 31 if count else 0  # without symbols there may be no table
    bits, out = -1, np.empty(0, dtype=np.uint16)
    if count * shortest <= 8 * (len(data) - start):  # otherwise no memory is allocated
        out = np.empty(count, dtype=np.uint16)
        if shortest:
            table_bits = (len(table) - 1).bit_length()
            pairs = np.zeros(1 << min(table_bits, _PAIR_BITS), np.uint64)
            bits = _unpack(np.frombuffer(data, np.uint8, offset=start), table, table_bits, pairs, out)
        else:  # at most one symbol, of no bits
            bits, out[:] = 0, table[:1] >> LENGTH_BITS
    check_codewords_end(data, start, bits, count)
    return out


def check_codewords_end(data: bytes, start: int, bits: int, count: int) -> None:
    """Check that `count` codewords of `bits` bits, -1 for too few, are exactly `data[start:]`.

    Raises:
        FormatError: the bits end too early, bytes are left over, or the padding is not zero.
    """
    if bits < 0:
        raise FormatError("the codewords end too early", offset=len(data), expected=f"{count:,} symbols")
    end = start + (bits + 7) // 8
    if end != len(data):
        raise FormatError("bytes are left over after the last codeword", offset=end)
    if bits % 8 and data[-1] & (0xFF >> bits % 8):
        raise FormatError("padding after the last codeword is not zero", offset=end - 1)
