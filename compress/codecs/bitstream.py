"""Codewords <-> bits, compiled. Bits fill each byte from its most significant one; the last is padded with zeros.

Compiled code keeps to 64-bit signed integers (numba turns a mix with unsigned ones into floats), raises nothing and
is kept on disk after the first use.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from compress.compiled import compiled
from compress.errors import FormatError

LENGTH_BITS = 5
"""Low bits of an entry of a code or decoding table: the codeword's length, 0 to 16. The rest is above them."""


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


@compiled(types.int64[::1](_read_only(types.int32), types.int64))
def _pairs(table: NDArray[Any], table_bits: int) -> NDArray[Any]:
    """Return of all next bits what two codewords begin there, or one where they do not hold a second.

    Returns:
        int64: bits of both (5), whether there are two (1), the first symbol (16), the second (16), the lowest first.
    """
    pairs = np.empty(table.size, np.int64)
    for bits in range(table.size):
        first = table[bits]
        length = first & 31
        second = table[(bits << length) & (table.size - 1)]
        both = length + (second & 31)
        if both <= table_bits:
            pairs[bits] = both | 1 << 5 | (first >> 5) << 6 | (second >> 5) << 22
        else:
            pairs[bits] = length | (first >> 5) << 6
    return pairs


@compiled(types.int64(_read_only(types.uint8), _read_only(types.int32), types.int64, types.uint16[::1]))
def _unpack(data: NDArray[Any], table: NDArray[Any], table_bits: int, out: NDArray[Any]) -> int:
    """Return how many bits were read, or -1 where they ended before the last codeword did.

    The next bits are the highest of a word of 64, which is filled up four bytes at once; zeros follow the last byte.
    """
    pairs = _pairs(table, table_bits)
    window, held, at, i = np.uint64(0), 0, 0, 0
    shift, low = np.uint64(64 - table_bits), np.uint64(0xFFFFFFFF)
    while i < out.size:
        if held < table_bits:
            if at + 4 <= data.size:
                more = (data[at] << 24) | (data[at + 1] << 16) | (data[at + 2] << 8) | data[at + 3]
                window |= (np.uint64(more) & low) << np.uint64(32 - held)
                held += 32
                at += 4
            else:
                while held <= 56 and at < data.size:
                    window |= np.uint64(data[at]) << np.uint64(56 - held)
                    held += 8
                    at += 1
        if i + 1 < out.size:
            pair = pairs[window >> shift]
            out[i] = (pair >> 6) & 0xFFFF
            out[i + 1] = pair >> 22  # overwritten by the next one, if there are not two
            i += 1 + ((pair >> 5) & 1)
        else:
            pair = table[window >> shift]
            out[i] = pair >> 5
            i += 1
        length = pair & 31
        held -= length
        if held < 0:
            return -1
        window <<= np.uint64(length)
    return at * 8 - held


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
            `symbol << LENGTH_BITS | length`. Its length is a power of two: the code is complete.
        count: symbols to read.
    Raises:
        FormatError: the bits end too early, bytes are left over, or the padding is not zero.
    """
    shortest = int((table & 31).min(initial=16))
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
    end = start + (bits + 7) // 8
    if end != len(data):
        raise FormatError("bytes are left over after the last codeword", offset=end)
    if bits % 8 and data[-1] & (0xFF >> bits % 8):
        raise FormatError("padding after the last codeword is not zero", offset=end - 1)
    return out
