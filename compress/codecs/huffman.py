"""Codec `huffman`: a static canonical Huffman code over all symbols, zero a symbol like any other.

Stream: the code (see `prefix`), then the codewords.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from compress.codecs.bitstream import pack, unpack
from compress.codecs.counts import counted, entropy_bits
from compress.codecs.prefix import PrefixCode
from compress.errors import FormatError


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
    used = int(np.count_nonzero(counts))
    # No prefix code is shorter than the entropy; told of a code are, of each symbol, one bit or more. Floats may err.
    return (used + 7) // 8 + int(entropy_bits(counts) / 8 * (1 - 1e-9))
