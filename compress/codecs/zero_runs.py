"""Codec `huffman-runs`: Deep Compression's relative index, for symbols of which most are zero.

The symbols become entries (gap, symbol): `gap` zeros, then `symbol`. Gaps have a field of 2 to 8 bits; where more
zeros follow each other, the entry (largest gap, 0) fills in. Zeros after the last entry are implied by the count.

Stream: one byte, bits of the gap field; varint, number of entries; varint, bytes of the gaps; the gaps and then the
symbols of the entries, each as codec `huffman` writes them.

Source: Han et al. 2016, arXiv:1510.00149, section 2 and figure 2; both streams Huffman coded as in section 4.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numpy.typing import NDArray

from compress.codecs.huffman import Huffman, at_least, coded_bytes
from compress.codecs.primitives.error_offsets import offset_by
from compress.codecs.primitives.histogram import counted
from compress.codecs.primitives.varint import decode_varint, encode_varint
from compress.errors import FormatError
from compress.runtime.jit import compiled

_GAP_BITS = range(2, 9)
_NARROWEST = _GAP_BITS[0]
_MOST_GAPS = 1 << _GAP_BITS[-1]
_FEWEST_HEAD_BYTES = 3
_HUFFMAN = Huffman()


class HuffmanRuns:
    """Tries every width of the gap field and keeps the one with the fewest bytes (the narrower, where equal)."""

    name = "huffman-runs"
    id = 2

    def encode(self, symbols: NDArray[np.uint16]) -> bytes:
        symbols = np.ascontiguousarray(symbols.reshape(-1))
        return _encode(symbols, _best_width(symbols))

    def decode(self, data: bytes, shape: tuple[int, ...]) -> NDArray[np.uint16]:
        gap_bits, entries, start, middle = _parse(data)
        count = math.prod(shape)
        if entries > count:  # each entry stands for at least one symbol
            raise FormatError(f"{entries:,} entries", offset=1, expected=f"at most {count:,}")
        gaps = _huffman_at(data, start, middle, entries)
        kept = _huffman_at(data, middle, len(data), entries)
        if gaps.size and int(gaps.max()) >> gap_bits:
            raise FormatError(f"a gap of {int(gaps.max())}", offset=start, expected=f"a number of {gap_bits} bits")
        positions = np.cumsum(gaps.astype(np.int64) + 1) - 1
        if entries and positions[-1] >= count:
            raise FormatError("gaps reach beyond the last symbol", offset=start, expected=f"{count:,} symbols")
        symbols = np.zeros(count, dtype=np.uint16)
        symbols[positions] = kept
        return symbols.reshape(shape)

    def least_bytes(self, symbols: NDArray[np.uint16], counts: NDArray[np.int64]) -> int:
        entries = _entry_counts(np.ascontiguousarray(symbols.reshape(-1)), counts)
        return _FEWEST_HEAD_BYTES + min(at_least(gaps) + at_least(kept) for gaps, kept in entries)

    def gains_by_order(self, data: bytes | None) -> bool:
        return True

    def as_coded(self, data: bytes, symbols: NDArray[np.uint16]) -> NDArray[np.uint16]:
        return symbols

    def position_bytes(self, data: bytes) -> int:
        return _parse(data)[3]


def _best_width(symbols: NDArray[np.uint16]) -> int:
    """Return the bits of the gap field with the fewest bytes, and of several with as few the fewest bits."""
    entries = _entry_counts(symbols, counted(symbols))
    at_best = [at_least(gaps) + at_least(kept) + _FEWEST_HEAD_BYTES for gaps, kept in entries]
    best = (math.inf, 0)
    for place in sorted(range(len(entries)), key=at_best.__getitem__):
        if at_best[place] > best[0]:
            break
        best = min(best, (_coded_bytes(*entries[place]), _NARROWEST + place))
    return best[1]


def _coded_bytes(gaps: NDArray[np.int64], kept: NDArray[np.int64]) -> int:
    """Return how many bytes entries take whose gaps and symbols occur so often."""
    gap_bytes = coded_bytes(gaps)
    head_bytes = 1 + len(encode_varint(int(gaps.sum()))) + len(encode_varint(gap_bytes))
    return head_bytes + gap_bytes + coded_bytes(kept)


def _entry_counts(
    symbols: NDArray[np.uint16], counts: NDArray[np.int64]
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return how often gaps and symbols of entries occur, for each width of the field that can be the best.

    Args:
        symbols: shape (n,).
        counts: of these.
    """
    gaps, filled = np.zeros((len(_GAP_BITS), _MOST_GAPS), dtype=np.int64), np.zeros(len(_GAP_BITS), dtype=np.int64)
    longest = _count_gaps(symbols, gaps, filled)
    entries = []
    for place, gap_bits in enumerate(_GAP_BITS):
        kept = counts.copy()
        kept[:1] = filled[place]
        entries.append((gaps[place], kept))
        if not longest >> gap_bits:  # once a field holds every gap, a wider one changes nothing but its own number
            break
    return entries


@compiled(types.int64(types.Array(types.uint16, 1, "C", readonly=True), types.int64[:, ::1], types.int64[::1]))
def _count_gaps(symbols: NDArray[np.uint16], gaps: NDArray[np.int64], filled: NDArray[np.int64]) -> int:
    """Count gaps of entries for every width of the field, and return the longest run of zeros before another symbol.

    Args:
        symbols: shape (n,).
        gaps: shape (widths, largest gap + 1), zeros, to add to.
        filled: shape (widths,), zeros, to add to: of these entries, those filled in.
    """
    short = np.zeros(_MOST_GAPS, np.int64)
    longest, run = 0, 0
    for symbol in symbols:
        if symbol == 0:
            run += 1
            continue
        if run < _MOST_GAPS:
            short[run] += 1
        else:
            for place in range(filled.size):
                bits = _NARROWEST + place
                filled[place] += run >> bits
                gaps[place, run & ((1 << bits) - 1)] += 1
        longest = max(longest, run)
        run = 0
    for gap in range(_MOST_GAPS):
        for place in range(filled.size):
            bits = _NARROWEST + place
            filled[place] += short[gap] * (gap >> bits)
            gaps[place, gap & ((1 << bits) - 1)] += short[gap]
    for place in range(filled.size):
        gaps[place, (1 << (_NARROWEST + place)) - 1] += filled[place]
    return longest


def _encode(symbols: NDArray[np.uint16], gap_bits: int) -> bytes:
    positions = np.flatnonzero(symbols)
    gaps = np.diff(positions, prepend=-1) - 1
    ends = np.cumsum((gaps >> gap_bits) + 1)  # an entry filled in stands for 2 ** gap_bits zeros
    entries = int(ends[-1]) if ends.size else 0
    all_gaps = np.full(entries, (1 << gap_bits) - 1, dtype=np.uint16)
    all_gaps[ends - 1] = gaps & ((1 << gap_bits) - 1)
    kept = np.zeros(entries, dtype=np.uint16)
    kept[ends - 1] = symbols[positions]
    gap_stream = _HUFFMAN.encode(all_gaps)
    head = bytes([gap_bits]) + encode_varint(entries) + encode_varint(len(gap_stream))
    return head + gap_stream + _HUFFMAN.encode(kept)


def _parse(data: bytes) -> tuple[int, int, int, int]:
    """Return the bits of the gap field, the number of entries, and where gaps and symbols begin."""
    if not data or data[0] not in _GAP_BITS:
        raise FormatError("no gap field", offset=0, expected="its bits, 2 to 8")
    entries, at = decode_varint(data, 1)
    gap_bytes, start = decode_varint(data, at)
    if gap_bytes > len(data) - start:
        raise FormatError(f"{gap_bytes:,} bytes of gaps", offset=at, expected=f"at most {len(data) - start:,}")
    return data[0], entries, start, start + gap_bytes


def _huffman_at(data: bytes, start: int, end: int, count: int) -> NDArray[np.uint16]:
    with offset_by(start):
        return _HUFFMAN.decode(data[start:end], (count,))
