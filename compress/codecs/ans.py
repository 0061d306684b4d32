"""Codec `ans`: asymmetric numeral systems, with one static distribution for all symbols.

The distribution is written as heights: parts of octaves of frequency, 0 where a symbol is not in use. How fine they are
is chosen for each tensor: a small one cannot pay for much. Everyone makes the same whole numbers of them (see
`frequencies`), which are what is coded with; no float decides anything.

Stream: varint, 12 times how many heights, plus 4 times how many places before differences go (0: none), plus the
binary logarithm of the heights in an octave; varint, bytes of what is coded; these: a number in 32-bit words, the
lowest byte and word first, without zeros at its end; the heights or their differences, in zigzag (0, -1, 1, -2, 2 are
0, 1, 2, 3, 4), as codec `context` writes them.

Source: Duda 2013, "Asymmetric numeral systems", arXiv:1311.2540. The coder is constriction's (Bamler 2022,
arXiv:2201.01741): words of 32 bits, a state of 64, frequencies in 1 / 2 ** 24.
"""

from __future__ import annotations

import math
from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

from compress.codecs.context.codec import Context
from compress.codecs.primitives import zigzag
from compress.codecs.primitives.ans_tables import frequencies, take
from compress.codecs.primitives.error_offsets import offset_by
from compress.codecs.primitives.histogram import counted, entropy_bits
from compress.codecs.primitives.varint import decode_varint, encode_varint
from compress.errors import FormatError

_CONTEXT = Context()
_MOST_HEIGHT = 255
_BACKS, _FINENESSES = 3, 4
_CHUNK = 1 << 20
"""Symbols that are encoded in one go: their copy in 32 bits takes no memory worth the name."""

_MOST_LOST = 0.0057
"""Bits that a symbol takes less than its share tells, at most: a state of 32 bits or more, divided by a frequency, is
2 ** 8 or more, and what is lost in rounding is one part of that."""

_END_BITS = 64
"""Bits that the last symbols may take less than their shares tell, those of `_descending_end` left out: where 24 to 32
bits are left, a symbol takes a quarter of its share or more, of 8 bits in all; then comes one, of 24 bits or fewer."""


class Ans:
    """Within half a percent of the order-0 entropy of a real network's levels, tables included, and quick."""

    name = "ans"
    id = 4

    def encode(self, symbols: NDArray[np.uint16]) -> bytes:
        symbols = symbols.reshape(-1)
        counts = counted(symbols)
        candidates = (_described(counts, fineness) for fineness in range(_FINENESSES))
        heights, fineness, back, table = min(
            candidates, key=lambda one: len(one[-1]) + _bytes_with(counts, one[0], one[1])
        )
        coded = _encode(symbols, heights, fineness)
        head = encode_varint((heights.size * _BACKS + back) * _FINENESSES + fineness)
        return head + encode_varint(len(coded)) + coded + table

    def decode(self, data: bytes, shape: tuple[int, ...]) -> NDArray[np.uint16]:
        head, at = decode_varint(data, 0)
        coded_bytes, start = decode_varint(data, at)
        end = start + coded_bytes
        if end > len(data):
            raise FormatError(f"{coded_bytes:,} coded bytes", offset=at, expected=f"at most {len(data) - start:,}")
        with offset_by(end):
            heights = _heights(data[end:], *divmod(head // _FINENESSES, _BACKS))
        count = math.prod(shape)
        if count and not heights.any():
            raise FormatError("no symbol is in use", offset=0, expected=f"a distribution of {count:,} symbols")
        if coded_bytes and data[end - 1] == 0:
            raise FormatError("zeros after the coded bytes", offset=end - 1)
        with offset_by(start):
            return _decode(data[start:end], heights, head % _FINENESSES, count).reshape(shape)

    def least_bytes(self, symbols: NDArray[np.uint16], counts: NDArray[np.int64]) -> int:
        free = _descending_end(symbols.reshape(-1))
        bits = entropy_bits(counts - np.bincount(free, minlength=counts.size))
        return 3 + max(0, int((bits - symbols.size * _MOST_LOST - _END_BITS) / 8))

    def gains_by_order(self, data: bytes | None) -> bool:
        return False

    def as_coded(self, data: bytes, symbols: NDArray[np.uint16]) -> NDArray[np.uint16]:
        return symbols

    def position_bytes(self, data: bytes) -> int:
        return 0


def _described(counts: NDArray[np.int64], fineness: int) -> tuple[NDArray[np.int64], int, int, bytes]:
    """Return heights, how fine they are, how many places before differences go, and these as bytes, the fewest."""
    used = counts > 0
    octaves = np.log2(counts, where=used, out=np.zeros(counts.shape))
    least = octaves.min(where=used, initial=64)
    heights = np.where(used, 1 + np.rint((octaves - least) * (1 << fineness)), 0).astype(np.int64)
    tables = []
    for back in range(_BACKS):
        steps = heights.copy()
        if back:
            steps[back:] -= heights[:-back]
        tables.append(_CONTEXT.encode(zigzag.to_symbols(steps)))
    back = min(range(_BACKS), key=lambda back: len(tables[back]))
    return heights, fineness, back, tables[back]


def _bytes_with(counts: NDArray[np.int64], heights: NDArray[np.int64], fineness: int) -> float:
    """Return what symbols occurring so often take with the distribution of these heights."""
    used = heights > 0
    if np.count_nonzero(used) < 2:
        return 0.0
    bits = 24 - np.log2(frequencies(heights[used], fineness))
    return float(counts[used] @ bits) / 8


def _heights(table: bytes, count: int, back: int) -> NDArray[np.int64]:
    """Return the heights of so many symbols, told by differences to so many places before."""
    if count > 1 << 16:
        raise FormatError(f"{count:,} heights", offset=0, expected="at most 65,536")
    heights = zigzag.from_symbols(_CONTEXT.decode(table, (count,)))
    for first in range(back):
        heights[first::back] = np.cumsum(heights[first::back])
    if count and (heights.min() < 0 or heights.max() > _MOST_HEIGHT or heights[-1] == 0):
        raise FormatError("heights are out of range", offset=0, expected="0 to 255, the last not 0")
    return heights


def _descending_end(symbols: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return the last symbols, as many as none of is larger than the one before it.

    These may take no bits at all: a state below 2 ** 24 is its own place among all symbols, and what is left of it
    when one is decoded is its place in that one's share, which is no larger.
    """
    rises = symbols[:-1] < symbols[1:]
    return symbols[symbols.size - 1 - int(rises[::-1].argmax()) :] if rises.any() else symbols


def _model(heights: NDArray[np.int64], fineness: int) -> Any:
    # constriction gives each symbol 1 and shares out the rest as it is told; told what the rest is, it rounds nothing.
    return constriction.stream.model.Categorical((frequencies(heights, fineness) - 1).astype(np.float32), perfect=False)


def _encode(symbols: NDArray[np.uint16], heights: NDArray[np.int64], fineness: int) -> bytes:
    used = np.flatnonzero(heights)
    if used.size < 2:
        return b""
    model, coder = _model(heights[used], fineness), constriction.stream.stack.AnsCoder()
    rank = np.zeros(heights.size, dtype=np.int32)
    rank[used] = np.arange(used.size)
    for end in range(symbols.size, 0, -_CHUNK):
        coder.encode_reverse(rank[symbols[max(0, end - _CHUNK) : end]], model)
    return bytes(coder.get_compressed().astype("<u4").tobytes().rstrip(b"\0"))


def _decode(coded: bytes, heights: NDArray[np.int64], fineness: int, count: int) -> NDArray[np.uint16]:
    used = np.flatnonzero(heights).astype(np.uint16)
    if used.size < 2:
        if coded:
            raise FormatError("coded bytes where one symbol is in use", offset=0, expected="none")
        return np.full(count, used[0] if used.size else 0, dtype=np.uint16)
    words = np.frombuffer(bytes(4) + coded + bytes(-len(coded) % 4), "<u4").astype(np.uint64)
    symbols = np.empty(count, dtype=np.uint16)
    if not take(words, frequencies(heights[used], fineness), used, symbols):
        raise FormatError("coded bytes are left over, or are those of other symbols", offset=0)
    return symbols
