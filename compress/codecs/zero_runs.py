"""Codec `huffman-runs`: the relative index of Deep Compression, for symbols that are mostly zero.

The symbols become entries (gap, symbol): `gap` zeros, then `symbol`. A longer run of zeros takes filler entries
(largest gap, 0).

Stream: one byte, bits of the gap field; varint, number of entries; varint, bytes of the gaps; the gaps and the
symbols of the entries, each as a `huffman` stream.

Source: Han et al. 2016, arXiv:1510.00149, section 2 and figure 2; both streams Huffman coded as in section 4.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from compress.codecs.huffman import HuffmanCodec, huffman_bytes, min_huffman_bytes
from compress.codecs.primitives.smallest import Candidate, smallest
from compress.codecs.primitives.symbol_histogram import UNSEEN_COUNT, Counts, Symbols, histogram
from compress.codecs.primitives.varint import decode_varint, encode_varint
from compress.codecs.protocol import Codec
from compress.errors import FormatError, offset_by
from compress.runtime.jit import compiled

_GAP_BITS = range(2, 9)
_HUFFMAN = HuffmanCodec()


class ZeroRunsCodec(Codec):
    """The width of the gap field with the shortest stream, the smallest such width.

    Args:
        row_major: write for readers that decode a few filters at a time.
    """

    name = "huffman-runs"
    id = 2

    def __init__(self, *, row_major: bool = False) -> None:
        self._row_major = row_major

    def encode(self, symbols: NDArray[np.uint16]) -> bytes:
        return self.candidate(symbols).encode()

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

    def symbol_bits(self, counts: NDArray[np.int64], zero: int) -> NDArray[np.float64]:
        """Return ideal bits for which symbols are zero, which gaps nearly reach, and Huffman codes for the others."""
        total = counts.sum(0)
        frequency = (total[zero] + UNSEEN_COUNT) / (total.sum() + UNSEEN_COUNT * len(total))
        bits = np.full(total.shape, -np.log2(frequency))
        others = np.arange(len(total)) != zero
        if others.any():
            bits[others] = _HUFFMAN.symbol_bits(total[None, others], 0)[0] - np.log2(1 - frequency)
        return np.broadcast_to(bits, counts.shape)

    def candidate(self, symbols: NDArray[np.uint16]) -> Candidate[bytes]:
        widths = [Candidate(each.min_bytes(), each.stream_bytes) for each in _histograms(symbols)]

        def encode() -> bytes:
            _, gap_bits = smallest(widths, lambda encoded: encoded[0])
            return _encode(symbols.reshape(-1), gap_bits)

        return Candidate(min(width.min_bytes for width in widths), encode)

    def depends_on_order(self, data: bytes) -> bool:
        return True

    def is_row_major(self, shape: tuple[int, ...]) -> bool:
        return self._row_major

    def position_bytes(self, data: bytes) -> int:
        return _parse_head(data)[3]


class _Histograms(NamedTuple):
    """Histograms of the gaps and of the symbols of entries, for a width of the gap field."""

    gap_bits: int
    gaps: NDArray[np.int64]
    nonzero: NDArray[np.int64]

    def min_bytes(self) -> int:
        return 3 + min_huffman_bytes(self.gaps) + min_huffman_bytes(self.nonzero)

    def stream_bytes(self) -> tuple[int, int]:
        """Return the length of the stream, and the width."""
        gap_bytes = huffman_bytes(self.gaps)
        head_bytes = 1 + len(encode_varint(int(self.gaps.sum()))) + len(encode_varint(gap_bytes))
        return head_bytes + gap_bytes + huffman_bytes(self.nonzero), self.gap_bits


def _histograms(symbols: NDArray[np.uint16]) -> Iterator[_Histograms]:
    """Yield the histograms for each width of the gap field that can be the best."""
    counts, runs = histogram(symbols), np.zeros(symbols.size + 256, np.int64)
    longest = _count_runs(np.ascontiguousarray(symbols.reshape(-1)), runs)
    runs = runs[: (longest | 255) + 1]  # a multiple of all fields
    for gap_bits in _GAP_BITS:
        gaps_of = runs.reshape(-1, 1 << gap_bits)  # by number of fillers
        gaps, nonzero = gaps_of.sum(0), counts.copy()
        nonzero[:1] = fillers = np.arange(len(gaps_of)) @ gaps_of.sum(1)
        gaps[-1] += fillers
        yield _Histograms(gap_bits, gaps, nonzero)
        if not longest >> gap_bits:  # a wider field has the same entries
            break


@compiled()
def _count_runs(symbols: Symbols, runs: Counts) -> int:
    """Count the runs of zeros before other symbols by their length, and return the longest."""
    longest, run = 0, 0
    for symbol in symbols:
        if symbol == 0:
            run += 1
        else:
            runs[run] += 1
            longest = max(longest, run)
            run = 0
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
    """Return the bits of a gap, the number of entries, and where gaps and symbols begin."""
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
