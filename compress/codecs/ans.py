"""Codec `ans`: asymmetric numeral systems, with one static distribution for all symbols.

The distribution is written as heights: quarter octaves of frequency, 0 where a symbol is not in use, so that it costs
little and is within some hundredths of a percent of what the symbols have. Everyone makes the same whole numbers of it
(see `frequencies`), which are what is coded with; no float decides anything.

Stream: varint, how many heights; varint, bytes of their stream; the heights, as differences in zigzag (0, -1, 1, -2, 2
are 0, 1, 2, 3, 4), each to the one before, as codec `huffman` writes them; varint, bytes of what is coded; these: a
number in 32-bit words, the lowest byte and word first, without zeros at its end.

Source: Duda 2013, "Asymmetric numeral systems", arXiv:1311.2540. The coder is constriction's (Bamler 2022,
arXiv:2201.01741): words of 32 bits, a state of 64, frequencies in 1 / 2 ** 24.
"""

from __future__ import annotations

import math
from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

from compress.codecs.counts import counted
from compress.codecs.huffman import Huffman
from compress.codecs.offsets import offset_by
from compress.codecs.varint import decode_varint, encode_varint
from compress.errors import FormatError

_HUFFMAN = Huffman()
_WHOLE = 1 << 24
_MOST_HEIGHT = 255
_QUARTERS = np.array([1 << 38, 231_143_846_582, 194_368_031_998, 163_443_381_347], dtype=np.int64)
"""2 ** 38, and that divided by 2 ** (1 / 4), 2 ** (1 / 2) and 2 ** (3 / 4), rounded."""

_CHUNK = 1 << 20
"""Symbols that are coded in one go: their copy in 32 bits takes no memory worth the name."""


class Ans:
    """Within half a percent of the order-0 entropy of a real network's levels, tables included, and quick."""

    name = "ans"
    id = 4

    def encode(self, symbols: NDArray[np.uint16]) -> bytes:
        symbols = symbols.reshape(-1)
        heights = _heights(counted(symbols))
        steps = np.diff(heights, prepend=0)
        table = _HUFFMAN.encode(np.where(steps < 0, -2 * steps - 1, 2 * steps).astype(np.uint16))
        coded = _encode(symbols, heights)
        return encode_varint(heights.size) + encode_varint(len(table)) + table + encode_varint(len(coded)) + coded

    def decode(self, data: bytes, shape: tuple[int, ...]) -> NDArray[np.uint16]:
        heights, at = _read_heights(data)
        coded_bytes, start = decode_varint(data, at)
        if coded_bytes != len(data) - start:
            raise FormatError(f"{len(data) - start:,} coded bytes", offset=start, expected=f"{coded_bytes:,}")
        count = math.prod(shape)
        if count and not heights.any():
            raise FormatError("no symbol is in use", offset=0, expected=f"a distribution of {count:,} symbols")
        if coded_bytes and data[-1] == 0:
            raise FormatError("zeros after the coded bytes", offset=len(data) - 1)
        with offset_by(start):
            return _decode(data[start:], heights, count).reshape(shape)

    def gains_by_order(self, data: bytes) -> bool:
        return False

    def as_coded(self, data: bytes, symbols: NDArray[np.uint16]) -> NDArray[np.uint16]:
        return symbols

    def position_bytes(self, data: bytes) -> int:
        return 0


def frequencies(heights: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the frequencies of symbols in 1 / 2 ** 24: at least 1, and in all 2 ** 24.

    Args:
        heights: int64, shape (k,), k up to 65,536, each 1 to 255: quarter octaves of frequency, from anywhere.
    Returns:
        int64, shape (k,). What is left over after rounding down goes to the first of the most frequent.
    """
    below = heights.max(initial=0) - heights
    shares = _QUARTERS[below & 3] >> (below >> 2)
    free = _WHOLE - heights.size
    counts: NDArray[np.int64] = 1 + free * shares // shares.sum()
    counts[np.argmax(heights)] += _WHOLE - counts.sum()
    return counts


def _heights(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    used = counts > 0
    octaves = np.log2(counts, where=used, out=np.zeros(counts.shape))
    return np.where(used, 1 + np.rint(4 * (octaves - octaves.min(where=used, initial=64))), 0).astype(np.int64)


def _read_heights(data: bytes) -> tuple[NDArray[np.int64], int]:
    """Return the heights, and the byte after them."""
    count, at = decode_varint(data, 0)
    table_bytes, start = decode_varint(data, at)
    if count > 1 << 16:
        raise FormatError(f"{count:,} heights", offset=0, expected="at most 65,536")
    if table_bytes > len(data) - start:
        raise FormatError(f"{table_bytes:,} bytes of heights", offset=at, expected=f"at most {len(data) - start:,}")
    end = start + table_bytes
    with offset_by(start):
        steps = _HUFFMAN.decode(data[start:end], (count,)).astype(np.int64)
        heights = np.cumsum(np.where(steps & 1, -(steps >> 1) - 1, steps >> 1))
        if count and not (heights.min() >= 0 and heights.max() <= _MOST_HEIGHT and heights[-1] > 0):
            raise FormatError("heights are out of range", offset=0, expected="0 to 255, the last not 0")
    return heights, end


def _model(heights: NDArray[np.int64]) -> Any:
    # constriction gives each symbol 1 and shares out the rest as it is told; told what the rest is, it rounds nothing.
    return constriction.stream.model.Categorical((frequencies(heights) - 1).astype(np.float32), perfect=False)


def _encode(symbols: NDArray[np.uint16], heights: NDArray[np.int64]) -> bytes:
    used = np.flatnonzero(heights)
    if used.size < 2:
        return b""
    model, coder = _model(heights[used]), constriction.stream.stack.AnsCoder()
    rank = np.zeros(heights.size, dtype=np.int32)
    rank[used] = np.arange(used.size)
    for end in range(symbols.size, 0, -_CHUNK):
        coder.encode_reverse(rank[symbols[max(0, end - _CHUNK) : end]], model)
    return bytes(coder.get_compressed().astype("<u4").tobytes().rstrip(b"\0"))


def _decode(coded: bytes, heights: NDArray[np.int64], count: int) -> NDArray[np.uint16]:
    used = np.flatnonzero(heights).astype(np.uint16)
    if used.size < 2:
        if coded:
            raise FormatError("coded bytes where one symbol is in use", offset=0, expected="none")
        return np.full(count, used[0] if used.size else 0, dtype=np.uint16)
    words = np.frombuffer(coded + bytes(-len(coded) % 4), "<u4").astype(np.uint32)
    model, coder = _model(heights[used]), constriction.stream.stack.AnsCoder(words)
    symbols = np.empty(count, dtype=np.uint16)
    for start in range(0, count, _CHUNK):
        chunk = symbols[start : start + _CHUNK]
        chunk[:] = used[coder.decode(model, chunk.size)]
    if not coder.is_empty():
        raise FormatError("coded bytes are left over, or are those of other symbols", offset=0)
    return symbols
