"""Codewords <-> bits, compiled. Bits fill each byte from its most significant one; the last is padded with zeros.

Compiled code keeps to 64-bit signed integers (numba turns a mix with unsigned ones into floats), raises nothing and
is kept on disk after the first use.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from compress.errors import FormatError
from compress.runtime.jit import compiled

LENGTH_BITS = 5
"""Low bits of an entry of a code or decoding table: the codeword's length, 0 to 16. The rest is above them."""


_PAIRS = types.uint64[::1]
_PAIR_BITS = 12
"""Next bits that are looked up at once: more, and the table would outgrow the fastest cache."""


def _read_only(scalar: Any) -> Any:
    return types.Array(scalar, 1, "C", readonly=True)


@compiled(types.void(_read_only(types.uint16), _read_only(types.int32), types.uint8[::1]))
def _pack(symbols: NDArray[Any], code: NDArray[Any], out: NDArray[Any]) -> None:
    window, held, at = 0, 0, 0
    for symbol in symbols:
        entry = code[symbol]
        length = entry & 31
        window = (window << length) | (entry >> 5)
        held += length
        while held >= 8:
            held -= 8
            out[at] = window >> held
            window &= (1 << held) - 1
            at += 1
    if held > 0:
        out[at] = window << (8 - held)


@compiled(_PAIRS(_read_only(types.int32), types.int64, types.int64))
def _pairs(table: NDArray[Any], table_bits: int, pair_bits: int) -> NDArray[Any]:
    """Return of all next bits, so many of them, what two codewords begin there, or one where they do not hold a second.

    Returns:
        uint64: bits of both (5), whether there are two (1), the first symbol (16), the second (16), the lowest first;
        0 where they do not hold one.
    """
    pairs = np.empty(1 << pair_bits, np.uint64)
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
        else:
            pairs[bits] = 0
    return pairs


@compiled(types.uint64(_read_only(types.uint8), types.uint64), inline=True)
def _eight_bytes(data: NDArray[Any], at: Any) -> Any:
    """Return eight bytes as one number; the compiler makes one load of them."""
    word = np.uint64(0)
    for place in range(8):
        word |= np.uint64(data[at + np.uint64(place)]) << np.uint64(56 - 8 * place)
    return word


@compiled(types.int64(_read_only(types.uint8), _read_only(types.int32), types.int64, types.uint16[::1]))
def _unpack(data: NDArray[Any], table: NDArray[Any], table_bits: int, out: NDArray[Any]) -> int:
    """Return how many bits were read, or -1 where they ended before the last codeword did.

    The next bits are the highest of a word of 64; zeros follow the last byte. As long as there are eight bytes more and
    places for six symbols, the word is filled up at once, and then holds three codewords of any length.
    """
    pair_bits = min(table_bits, _PAIR_BITS)
    pairs = _pairs(table, table_bits, pair_bits)
    window, held, at, i = np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0)
    shift, pair_shift = np.uint64(64 - table_bits), np.uint64(64 - pair_bits)
    one, three, five, byte = np.uint64(1), np.uint64(3), np.uint64(5), np.uint64(8)
    whole, most, length_mask = np.uint64(56), np.uint64(63), np.uint64(31)
    first_bits, second_bits = np.uint64(6), np.uint64(22)
    size, count = np.uint64(data.size), np.uint64(out.size)
    while at + byte <= size and i + np.uint64(6) <= count:
        window |= _eight_bytes(data, at) >> held
        at += (most - held) >> three
        held |= whole
        for _ in range(3):
            pair = pairs[window >> pair_shift]
            if pair != 0:
                out[i] = pair >> first_bits
                out[i + one] = pair >> second_bits  # overwritten by the next one, if there are not two
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
    """Return the codewords of `symbols` one after the other.

    Args:
        symbols: uint16, shape (n,).
        code: for every symbol up to the largest, `codeword << LENGTH_BITS | length`.
        bits: length of all codewords together.
    """
    out = np.zeros((bits + 7) // 8, dtype=np.uint8)
    _pack(np.ascontiguousarray(symbols), code, out)
    return out.tobytes()


def unpack(data: bytes, start: int, table: NDArray[np.int32], count: int) -> NDArray[np.uint16]:
    """Return the `count` symbols whose codewords are `data[start:]`, exactly.

    Args:
        data: the stream; offsets of errors count from its first byte.
        start: byte where the codewords begin.
        table: for each value of the next bits, as many as the longest codeword has, what begins there:
            `symbol << LENGTH_BITS | length`. Its length is a power of two, as the code is complete, and a codeword
            of the fewest bits comes first.
        count: symbols to read.
    Raises:
        FormatError: the bits end too early, bytes are left over, or the padding is not zero.
    """
    if count == 0:  # then there may be no table
        return _ended(data, start, 0, np.empty(0, dtype=np.uint16))
    shortest = int(table[0]) & 31
    if count * shortest > 8 * (len(data) - start):  # before anything is allocated
        raise FormatError("the codewords end too early", offset=len(data), expected=f"{count:,} symbols")
    out = np.empty(count, dtype=np.uint16)
    if shortest == 0:  # the one codeword there is takes no bits
        out[:] = table[0] >> LENGTH_BITS
        bits = 0
    else:
        bits = _unpack(np.frombuffer(data, np.uint8, offset=start), table, (len(table) - 1).bit_length(), out)
    if bits < 0:
        raise FormatError("the codewords end too early", offset=len(data), expected=f"{count:,} symbols")
    return _ended(data, start, bits, out)


def _ended(data: bytes, start: int, bits: int, out: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return what was read, of so many bits, if the stream ends there as it should."""
    end = start + (bits + 7) // 8
    if end != len(data):
        raise FormatError("bytes are left over after the last codeword", offset=end)
    if bits % 8 and data[-1] & (0xFF >> bits % 8):
        raise FormatError("padding after the last codeword is not zero", offset=end - 1)
    return out
