"""Codec `huffman`: a static canonical Huffman code over all symbols, zero a symbol like any other.

Stream: the code (see `prefix`), then the codewords.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numpy.typing import NDArray

from compress.codecs.primitives.histogram import counted
from compress.codecs.primitives.prefix_bits import pack, unpack
from compress.codecs.primitives.prefix_code import PrefixCode
from compress.errors import FormatError
from compress.runtime.jit import compiled


class Huffman:
    """Within one bit a symbol of the order-0 entropy, and nothing at all where there is one symbol only."""

    name = "huffman"
    id = 1

    def encode(self, symbols: NDArray[np.uint16]) -> bytes:
        symbols = symbols.reshape(-1)
        counts = counted(symbols)
        code = PrefixCode.from_counts(counts)
        return code.to_bytes() + pack(symbols, code.encoding_table(), code.bits(counts))

    def decode(self, data: bytes, shape: tuple[int, ...]) -> NDArray[np.uint16]:
        code, start = PrefixCode.from_bytes(data)
        count = math.prod(shape)
        if count and not code.symbols.size:
            raise FormatError("the code has no symbols", offset=0, expected=f"a code for {count:,} symbols")
        return unpack(data, start, code.decoding_table(), count).reshape(shape)

    def least_bytes(self, symbols: NDArray[np.uint16], counts: NDArray[np.int64]) -> int:
        return at_least(counts)

    def gains_by_order(self, data: bytes | None) -> bool:
        return False

    def as_coded(self, data: bytes, symbols: NDArray[np.uint16]) -> NDArray[np.uint16]:
        return symbols

    def position_bytes(self, data: bytes) -> int:
        return 0


def coded_bytes(counts: NDArray[np.int64]) -> int:
    """Return how many bytes `Huffman.encode` takes for symbols that occur so often."""
    code = PrefixCode.from_counts(counts)
    return len(code.to_bytes()) + (code.bits(counts) + 7) // 8


def at_least(counts: NDArray[np.int64]) -> int:
    """Return a number of bytes that `coded_bytes` is not below, without making the code."""
    used = np.sort(counts[counts > 0])
    # Told of a code are, of two symbols or more, at least nine bits and one of each.
    table_bits = used.size + 9 if used.size > 1 else 1
    return (table_bits + 7) // 8 + (int(_fewest_bits(used)) + 7) // 8


@compiled(types.int64(types.int64[::1]))
def _fewest_bits(counts: NDArray[np.int64]) -> int:
    """Return the bits that symbols take with the best prefix code, of any lengths.

    Args:
        counts: shape (k,), how often each occurs, ascending.
    Source: van Leeuwen 1976, "On the construction of Huffman trees": the two least are joined, again and again; those
        that were joined come in ascending order, too.
    """
    joined = np.empty(counts.size, np.int64)
    bits, leaf, first = 0, 0, 0
    for last in range(counts.size - 1):
        joined[last] = 0
        for _ in range(2):
            if first == last or (leaf < counts.size and counts[leaf] <= joined[first]):
                joined[last] += counts[leaf]
                leaf += 1
            else:
                joined[last] += joined[first]
                first += 1
        bits += joined[last]
    return bits
