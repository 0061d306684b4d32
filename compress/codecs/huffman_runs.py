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
from numpy.typing import NDArray

from compress.codecs.huffman import Huffman
from compress.codecs.offsets import offset_by
from compress.codecs.varint import decode_varint, encode_varint
from compress.errors import FormatError

_GAP_BITS = range(2, 9)
_HUFFMAN = Huffman()


class HuffmanRuns:
    """Tries every width of the gap field and keeps the one with the fewest bytes (the narrower, where equal)."""

    name = "huffman-runs"
    id = 2

    def encode(self, symbols: NDArray[np.uint16]) -> bytes:
        symbols = symbols.reshape(-1)
        longest = int(np.diff(np.flatnonzero(symbols), prepend=-1).max(initial=1)) - 1
        # Once a field holds every gap, a wider one changes nothing but its own number.
        useful = [gap_bits for gap_bits in _GAP_BITS if gap_bits == _GAP_BITS[0] or longest >> (gap_bits - 1)]
        return min((_encode(symbols, gap_bits) for gap_bits in useful), key=len)

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

    def gains_by_order(self, data: bytes) -> bool:
        return True

    def as_coded(self, data: bytes, symbols: NDArray[np.uint16]) -> NDArray[np.uint16]:
        return symbols

    def position_bytes(self, data: bytes) -> int:
        return _parse(data)[3]


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
