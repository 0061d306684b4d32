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
from numba import types
from numpy.typing import NDArray

from compress.codecs import zigzag
from compress.codecs.context import Context
from compress.codecs.counts import counted, entropy_bits
from compress.codecs.offsets import offset_by
from compress.codecs.varint import decode_varint, encode_varint
from compress.compiled import compiled
from compress.errors import FormatError

_CONTEXT = Context()
_WHOLE = 1 << 24
_MOST_HEIGHT = 255
_BACKS, _FINENESSES = 3, 4
_EIGHTHS = np.array(
    [
        274_877_906_944, 252_064_152_055, 231_143_846_582, 211_959_841_877,
        194_368_031_998, 178_236_271_212, 163_443_381_347, 149_878_241_531,
    ],
    dtype=np.int64,
)  # fmt: skip
"""2 ** 38, and that divided by 2 ** (1 / 8), 2 ** (2 / 8) and so on, rounded."""

_SLOT_BITS = 11
"""What is looked up at once of a place among the frequencies: more, and the table would outgrow the fastest cache."""

_WORDS = types.uint64[::1]
_SLOTS = types.Tuple([_WORDS, types.int64[::1], _WORDS])  # type: ignore[no-untyped-call]
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


def frequencies(heights: NDArray[np.int64], fineness: int) -> NDArray[np.int64]:
    """Return the frequencies of symbols in 1 / 2 ** 24: at least 1, and in all 2 ** 24.

    Args:
        heights: int64, shape (k,), k up to 65,536, each 1 to 255: frequencies in parts of octaves, from anywhere.
        fineness: binary logarithm of these parts in an octave, 0 to 3.
    Returns:
        int64, shape (k,). What is left over after rounding down goes to the first of the most frequent.
    """
    return _frequencies(heights, fineness)


@compiled(types.int64[::1](types.int64[::1], types.int64))
def _frequencies(heights: NDArray[np.int64], fineness: int) -> NDArray[np.int64]:
    highest, whole = 0, 0
    for which in range(heights.size):
        if heights[which] > heights[highest]:
            highest = which
    shares = np.empty(heights.size, np.int64)
    for which in range(heights.size):
        eighths = (heights[highest] - heights[which]) << (3 - fineness)
        shares[which] = _EIGHTHS[eighths & 7] >> min(eighths >> 3, 63)
        whole += shares[which]
    left = _WHOLE
    for which in range(heights.size):
        shares[which] = 1 + (_WHOLE - heights.size) * shares[which] // whole
        left -= shares[which]
    shares[highest] += left
    return shares


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
    if not _take(words, frequencies(heights[used], fineness), used, symbols):
        raise FormatError("coded bytes are left over, or are those of other symbols", offset=0)
    return symbols


@compiled(_SLOTS(types.int64[::1], types.uint16[::1]))
def _slots(shares: NDArray[np.int64], used: NDArray[np.uint16]) -> tuple[Any, Any, Any]:
    """Return what tells which symbol a place is of.

    Returns:
        uint64, shape (k + 1,): what lies below each symbol, and 2 ** 24.
        int64: of each slot, places that follow each other, which symbol the first is of.
        uint64: of each slot that is of one symbol alone its share (24 bits), what lies below (24) and it (16), the
            highest first; 0 of others.
    """
    below = np.zeros(shares.size + 1, np.uint64)
    first, alone = np.empty(1 << _SLOT_BITS, np.int64), np.zeros(1 << _SLOT_BITS, np.uint64)
    shift, start = 24 - _SLOT_BITS, 0
    for which in range(shares.size):
        end = start + shares[which]
        entry = shares[which] << 40 | start << 16 | np.int64(used[which])
        for slot in range((start + (1 << shift) - 1) >> shift, (end - 1 >> shift) + 1):
            first[slot] = which
            if (slot + 1) << shift <= end:
                alone[slot] = entry
        below[which + 1] = end
        start = end
    return below, first, alone


@compiled(types.boolean(_WORDS, types.int64[::1], types.uint16[::1], types.uint16[::1]))
def _take(
    words: NDArray[np.uint64], shares: NDArray[np.int64], used: NDArray[np.uint16], symbols: NDArray[np.uint16]
) -> bool:
    """Decode symbols, and return whether nothing is left then.

    constriction would do it too, a third as fast and on one core.

    Args:
        words: uint64, shape (n + 1,), of 32 bits; taken from the end, the first of them never.
        shares: shape (k,), k at least 2, frequencies of the symbols in use, in all 2 ** 24.
        used: shape (k,), the symbols in use.
        symbols: to be filled.
    """
    low, word_bits, symbol_bits = np.uint64(1 << 32), np.uint64(32), np.uint64(24)
    slot_shift, within = np.uint64(24 - _SLOT_BITS), np.uint64(_WHOLE - 1)
    below, first, alone = _slots(shares, used)
    share_shift, below_shift = np.uint64(40), np.uint64(16)
    state, left = np.uint64(0), words.size - 1
    while left > 0 and state < low:
        state = (state << word_bits) | words[left]
        left -= 1
    for i in range(symbols.size):
        place = state & within
        slot = place >> slot_shift
        entry = alone[slot]
        if entry == 0:
            which = first[slot]
            while place >= below[which + 1]:
                which += 1
            share = below[which + 1] - below[which]
            entry = share << share_shift | below[which] << below_shift | np.uint64(used[which])
        symbols[i] = entry
        state = (state >> symbol_bits) * (entry >> share_shift) + (place - ((entry >> below_shift) & within))
        filled = (state << word_bits) | words[left]
        more = state < low and left > 0
        state = filled if more else state  # no branch: which it will be cannot be foreseen
        left -= 1 if more else 0
    return state == np.uint64(0) and left == 0
