"""Codec `huffman-runs`: the relative index of Deep Compression, for symbols that are mostly zero.

The symbols become entries (gap, symbol): `gap` zeros, then `symbol`. The gap field has 2 to 8 bits. A longer run of
zeros takes filler entries (largest gap, 0). Zeros after the last entry follow from the number of symbols.

Stream: one byte, bits of the gap field; varint, number of entries; varint, bytes of the gaps; the gaps and the
symbols of the entries, each as a `huffman` stream.

Source: Han et al. 2016, arXiv:1510.00149, section 2 and figure 2; both streams Huffman coded as in section 4.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numpy.typing import NDArray

from compress.codecs.huffman import HuffmanCodec, huffman_bytes, min_huffman_bytes
from compress.codecs.primitives.error_offsets import offset_by
from compress.codecs.primitives.symbol_histogram import histogram
from compress.codecs.primitives.varint import decode_varint, encode_varint
from compress.codecs.protocol import Codec
from compress.errors import FormatError
from compress.runtime.jit import compiled

_GAP_BITS = range(2, 9)
_MIN_GAP_BITS = _GAP_BITS[0]
_MAX_GAPS = 1 << _GAP_BITS[-1]
_MIN_HEAD_BYTES = 3
_HUFFMAN = HuffmanCodec()


class ZeroRunsCodec(Codec):
    """The width of the gap field with the shortest stream, the smallest such width."""

    name = "huffman-runs"
    id = 2

    def encode(self, symbols: NDArray[np.uint16]) -> bytes:
        symbols = np.ascontiguousarray(symbols.reshape(-1))
        return _encode(symbols, _best_gap_bits(symbols))

    def decode(self, data: bytes, shape: tuple[int, ...]) -> NDArray[np.uint16]:
        gap_bits, entries, gaps_at, symbols_at = _parse_head(data)
        count = math.prod(shape)
        if entries > count:  # each entry is at least one symbol
            raise FormatError(f"{entries:,} entries", offset=1, expected=f"at most {count:,}")
        gaps = _huffman_at(data, gaps_at, symbols_at, entries)
        nonzero = _huffman_at(data, symbols_at, len(data), entries)
        if gaps.size and int(gaps.max()) >> gap_bits:
            raise FormatError(f"a gap of {int(gaps.max())}", offset=gaps_at, expected=f"a number of {gap_bits} bits")
        positions = np.cumsum(gaps.astype(np.int64) + 1) - 1
        if entries and positions[-1] >= count:
            raise FormatError("gaps reach beyond the last symbol", offset=gaps_at, expected=f"{count:,} symbols")
        symbols = np.zeros(count, dtype=np.uint16)
        symbols[positions] = nonzero
        return symbols.reshape(shape)

    def min_bytes(self, symbols: NDArray[np.uint16], counts: NDArray[np.int64]) -> int:
        return min(map(_min_bytes, _entry_histograms(np.ascontiguousarray(symbols.reshape(-1)), counts)))

    def depends_on_order(self, data: bytes | None) -> bool:
        return True

    def position_bytes(self, data: bytes) -> int:
        return _parse_head(data)[3]


_Histograms = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Of the gaps and of the symbols of entries."""


def _best_gap_bits(symbols: NDArray[np.uint16]) -> int:
    """Return the width of the gap field with the shortest stream, the smallest such width."""
    entries = _entry_histograms(symbols, histogram(symbols))
    lower_bounds = list(map(_min_bytes, entries))
    best = (math.inf, 0)
    for place in sorted(range(len(entries)), key=lower_bounds.__getitem__):
        if lower_bounds[place] > best[0]:
            break
        best = min(best, (_stream_bytes(*entries[place]), _MIN_GAP_BITS + place))
    return best[1]


def _min_bytes(entries: _Histograms) -> int:
    return _MIN_HEAD_BYTES + min_huffman_bytes(entries[0]) + min_huffman_bytes(entries[1])


def _stream_bytes(gaps: NDArray[np.int64], nonzero: NDArray[np.int64]) -> int:
    gap_bytes = huffman_bytes(gaps)
    head_bytes = 1 + len(encode_varint(int(gaps.sum()))) + len(encode_varint(gap_bytes))
    return head_bytes + gap_bytes + huffman_bytes(nonzero)


def _entry_histograms(symbols: NDArray[np.uint16], counts: NDArray[np.int64]) -> list[_Histograms]:
    """Return the histograms of entries, for each width of the gap field that can be the best."""
    gaps, fillers = np.zeros((len(_GAP_BITS), _MAX_GAPS), dtype=np.int64), np.zeros(len(_GAP_BITS), dtype=np.int64)
    longest = _count_gaps(symbols, gaps, fillers)
    entries = []
    for place, gap_bits in enumerate(_GAP_BITS):
        nonzero = counts.copy()
        nonzero[:1] = fillers[place]
        entries.append((gaps[place], nonzero))
        if not longest >> gap_bits:  # a wider field has the same entries
            break
    return entries


@compiled(types.int64(types.Array(types.uint16, 1, "C", readonly=True), types.int64[:, ::1], types.int64[::1]))
def _count_gaps(symbols: NDArray[np.uint16], gaps: NDArray[np.int64], fillers: NDArray[np.int64]) -> int:
    """Add to the histograms of gaps for every width, and return the longest run of zeros before another symbol.

    Args:
        symbols: shape (n,).
        gaps: shape (widths, largest gap + 1), zeros.
        fillers: shape (widths,), zeros, to count filler entries.
    """
    short = np.zeros(_MAX_GAPS, np.int64)
    longest, run = 0, 0
    for symbol in symbols:
        if symbol == 0:
            run += 1
            continue
        if run < _MAX_GAPS:
            short[run] += 1
        else:
            for place in range(fillers.size):
                bits = _MIN_GAP_BITS + place
                fillers[place] += run >> bits
                gaps[place, run & ((1 << bits) - 1)] += 1
        longest = max(longest, run)
        run = 0
    for gap in range(_MAX_GAPS):
        for place in range(fillers.size):
            bits = _MIN_GAP_BITS + place
            fillers[place] += short[gap] * (gap >> bits)
            gaps[place, gap & ((1 << bits) - 1)] += short[gap]
    for place in range(fillers.size):
        gaps[place, (1 << (_MIN_GAP_BITS + place)) - 1] += fillers[place]
    return longest


def _encode(symbols: NDArray[np.uint16], gap_bits: int) -> bytes:
    positions = np.flatnonzero(symbols)
    runs = np.diff(positions, prepend=-1) - 1
    ends = np.cumsum((runs >> gap_bits) + 1)  # a filler entry is 2 ** gap_bits zeros
    entries = int(ends[-1]) if ends.size else 0
    gaps = np.full(entries, (1 << gap_bits) - 1, dtype=np.uint16)
    gaps[ends - 1] = runs & ((1 << gap_bits) - 1)
    nonzero = np.zeros(entries, dtype=np.uint16)
    nonzero[ends - 1] = symbols[positions]
    gap_stream = _HUFFMAN.encode(gaps)
    head = bytes([gap_bits]) + encode_varint(entries) + encode_varint(len(gap_stream))
    return head + gap_stream + _HUFFMAN.encode(nonzero)


def _parse_head(data: bytes) -> tuple[int, int, int, int]:
    """Return the bits of the gap field, the number of entries, and where gaps and symbols begin."""
    if not data or data[0] not in _GAP_BITS:
        raise FormatError("no bits of the gap field", offset=0, expected="2 to 8")
    entries, at = decode_varint(data, 1)
    gap_bytes, start = decode_varint(data, at)
    if gap_bytes > len(data) - start:
        raise FormatError(f"{gap_bytes:,} bytes of gaps", offset=at, expected=f"at most {len(data) - start:,}")
    return data[0], entries, start, start + gap_bytes


def _huffman_at(data: bytes, start: int, end: int, count: int) -> NDArray[np.uint16]:
    with offset_by(start):
        return _HUFFMAN.decode(data[start:end], (count,))
