"""Codec `huffman`: one static canonical Huffman code for all symbols, zero included.

Stream: the code table (see `prefix_code`); the codewords.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numpy.typing import NDArray

from compress.codecs.primitives.prefix_bits import pack, unpack
from compress.codecs.primitives.prefix_code import PrefixCode
from compress.codecs.primitives.prefix_code_reader import decoding_table
from compress.codecs.primitives.symbol_histogram import histogram
from compress.codecs.protocol import Codec
from compress.errors import FormatError
from compress.runtime.jit import compiled


class HuffmanCodec(Codec):
    """Within one bit per symbol of the order-0 entropy; no bits if only one symbol occurs."""

    name = "huffman"
    id = 1

    def encode(self, symbols: NDArray[np.uint16]) -> bytes:
        symbols = symbols.reshape(-1)
        counts = histogram(symbols)
        code = PrefixCode.from_counts(counts)
        return code.to_bytes() + pack(symbols, code.encoding_table(), code.bits(counts))

    def decode(self, data: bytes, shape: tuple[int, ...]) -> NDArray[np.uint16]:
        code, start = PrefixCode.from_bytes(data)
        count = math.prod(shape)
        if count and not code.symbols.size:
            raise FormatError("the code has no symbols", offset=0, expected=f"a code of {count:,} symbols")
        return unpack(data, start, decoding_table(code.symbols, code.lengths), count).reshape(shape)

    def symbol_bits(self, counts: NDArray[np.float64], zero: int) -> NDArray[np.float64]:
        code = PrefixCode.from_counts(np.floor(counts).astype(np.int64))
        bits = np.full(counts.shape, code.lengths.max(initial=0) + 1.0)  # of symbols that are expected less than once
        bits[code.symbols] = code.lengths
        return bits

    def min_bytes(self, symbols: NDArray[np.uint16], counts: NDArray[np.int64]) -> int:
        return min_huffman_bytes(counts)


def huffman_bytes(counts: NDArray[np.int64]) -> int:
    """Return the length of the `huffman` stream of symbols with this histogram."""
    code = PrefixCode.from_counts(counts)
    return len(code.to_bytes()) + (code.bits(counts) + 7) // 8


def min_huffman_bytes(counts: NDArray[np.int64]) -> int:
    """Return a lower bound of `huffman_bytes` without making the code."""
    used = np.sort(counts[counts > 0])
    table_bits = used.size + 9 if used.size > 1 else 1  # a table of two or more symbols: 9 bits plus 1 bit a symbol
    return (table_bits + 7) // 8 + (int(_optimal_bits(used)) + 7) // 8


@compiled(types.int64(types.int64[::1]))
def _optimal_bits(counts: NDArray[np.int64]) -> int:
    """Return the bits of symbols in their best prefix code of unlimited length.

    Args:
        counts: shape (k,), frequencies in ascending order.
    Source: van Leeuwen 1976, "On the construction of Huffman trees": merged nodes arise in ascending order too.
    """
    merged = np.empty(counts.size, np.int64)
    bits, leaf, first = 0, 0, 0
    for last in range(counts.size - 1):
        merged[last] = 0
        for _ in range(2):
            if first == last or (leaf < counts.size and counts[leaf] <= merged[first]):
                merged[last] += counts[leaf]
                leaf += 1
            else:
                merged[last] += merged[first]
                first += 1
        bits += merged[last]
    return bits
