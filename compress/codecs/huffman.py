"""Codec `huffman`: a static canonical Huffman code over all symbols, zero a symbol like any other.

Stream: the code (see `prefix`), then the codewords.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from compress.codecs.bitstream import pack, unpack
from compress.codecs.counts import counted
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

    def gains_by_order(self, data: bytes) -> bool:
        return False

    def as_coded(self, data: bytes, symbols: NDArray[np.uint16]) -> NDArray[np.uint16]:
        return symbols

    def position_bytes(self, data: bytes) -> int:
        return 0
