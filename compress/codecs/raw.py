"""Codec `raw`: all symbols in the same number of bits, the number of bits of the largest.

Stream: one byte, bits per symbol, 0 to 16; the symbols, most significant bit first.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from numpy.typing import NDArray

from compress.codecs.primitives.prefix_bits import LENGTH_BITS, pack, unpack
from compress.codecs.primitives.smallest import Candidate
from compress.codecs.runtime_decoder import RuntimeCodec
from compress.errors import FormatError


class RawCodec(RuntimeCodec):
    """A prefix code whose codeword of a symbol is the symbol."""

    name = "raw"
    id = 0

    def encode(self, symbols: NDArray[np.uint16]) -> bytes:
        width = _symbol_bits(symbols)
        return bytes([width]) + pack(symbols.reshape(-1), _code_table(width), width * symbols.size)

    def reference_decode(self, data: bytes, shape: tuple[int, ...]) -> NDArray[np.uint16]:
        if not data:
            raise FormatError("the stream is empty", offset=0, expected="the bits per symbol")
        if data[0] > 16:
            raise FormatError(f"{data[0]} bits per symbol", offset=0, expected="0 to 16")
        return unpack(data, 1, _code_table(data[0]), math.prod(shape)).reshape(shape)

    def symbol_bits(self, counts: NDArray[np.int64], zero: int) -> NDArray[np.float64]:
        return np.full(counts.shape, float((counts.shape[1] - 1).bit_length()))

    def candidate(self, symbols: NDArray[np.uint16]) -> Candidate[bytes]:
        return Candidate(1 + (_symbol_bits(symbols) * symbols.size + 7) // 8, partial(self.encode, symbols))


def _symbol_bits(symbols: NDArray[np.uint16]) -> int:
    return int(symbols.max(initial=0)).bit_length()


def _code_table(width: int) -> NDArray[np.int32]:
    """Return the encoding table, which is the decoding table too: symbol and codeword are the same number."""
    return (np.arange(1 << width) << LENGTH_BITS | width).astype(np.int32)
