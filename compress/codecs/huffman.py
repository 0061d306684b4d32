"""Codec `huffman`: static canonical Huffman codes for all symbols, zero included.

Stream: the code table (see `prefix_code`); the codewords. Or several codes by column: see `column_codes`.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from numpy.typing import NDArray

from compress.codecs.primitives.column_codes import decode_columns, encode_columns, has_column_codes, selectors_bytes
from compress.codecs.primitives.column_groups import Grouping, groupings, groupings_of
from compress.codecs.primitives.prefix_bits import pack, unpack
from compress.codecs.primitives.prefix_code import PrefixCode
from compress.codecs.primitives.smallest import Candidate, smallest
from compress.codecs.primitives.symbol_histogram import Counts
from compress.codecs.runtime_decoder import RuntimeCodec
from compress.errors import FormatError
from compress.runtime.jit import compiled


class HuffmanCodec(RuntimeCodec):
    """Within one bit per symbol of the order-0 entropy; no bits if only one symbol occurs.

    Groups of columns have their own codes where that is shorter: weights of some input channels are mostly zero.
    Another scan order has the same code, or codes by row, which save nothing.
    """

    name = "huffman"
    id = 1

    def encode(self, symbols: NDArray[np.uint16]) -> bytes:
        return self.candidate(symbols).encode()

    def reference_decode(self, data: bytes, shape: tuple[int, ...]) -> NDArray[np.uint16]:
        if has_column_codes(data):
            return decode_columns(data, shape)
        code, start = PrefixCode.from_bytes(data)
        count = math.prod(shape)
        if count and not code.symbols.size:
            raise FormatError("the code has no symbols", offset=0, expected=f"a code of {count:,} symbols")
        return unpack(data, start, code.decoding_table(), count).reshape(shape)

    def symbol_bits(self, counts: NDArray[np.int64], zero: int) -> NDArray[np.float64]:
        grouping = min(groupings_of(counts), key=_min_bytes)
        bits = np.stack([_code_lengths(group) for group in grouping.counts])
        return np.broadcast_to(bits[grouping.group], counts.shape)

    def candidate(self, symbols: NDArray[np.uint16]) -> Candidate[bytes]:
        streams = [Candidate(_min_bytes(each), partial(_encode, symbols, each)) for each in groupings(symbols)]
        return Candidate(min(stream.min_bytes for stream in streams), partial(smallest, streams, len))


def huffman_bytes(counts: NDArray[np.int64]) -> int:
    """Return the length of the `huffman` stream with one code of symbols with this histogram."""
    code = PrefixCode.from_counts(counts)
    return len(code.to_bytes()) + (code.bits(counts) + 7) // 8


def min_huffman_bytes(counts: NDArray[np.int64]) -> int:
    """Return a lower bound of `huffman_bytes` without making the code."""
    return _min_bytes(Grouping(np.zeros(1, np.uint8), counts[None]))


def _encode(symbols: NDArray[np.uint16], grouping: Grouping) -> bytes:
    if len(grouping.counts) > 1:
        return encode_columns(symbols, grouping)
    code = PrefixCode.from_counts(grouping.counts[0])
    return code.to_bytes() + pack(symbols.reshape(-1), code.encoding_table(), code.bits(grouping.counts[0]))


def _min_bytes(grouping: Grouping) -> int:
    """Return a lower bound of the stream without making the codes."""
    head_bytes, bits = 0, 0
    if len(grouping.counts) > 1:
        head_bytes = 1 + selectors_bytes(grouping.group.size, len(grouping.counts))
    for counts in grouping.counts:
        used = np.sort(counts[counts > 0])
        table_bits = used.size + 9 if used.size > 1 else 1  # a table of two or more symbols: 9 bits plus 1 bit a symbol
        head_bytes += (table_bits + 7) // 8
        bits += int(_optimal_bits(used))
    return head_bytes + (bits + 7) // 8


def _code_lengths(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the bits of the codeword of each symbol, one more than the longest for symbols that do not occur."""
    code = PrefixCode.from_counts(counts)
    bits = np.full(counts.shape, code.lengths.max(initial=0) + 1.0)
    bits[code.symbols] = code.lengths
    return bits


@compiled(allocates=True)
def _optimal_bits(counts: Counts) -> int:
    """Return the bits of symbols in their best prefix code of unlimited length.

    Args:
        counts: shape (k,), frequencies in ascending order.
    Source: van Leeuwen 1976, "On the construction of Huffman trees": merged nodes arise in ascending order too.
    """
    merged = np.empty(counts.size, np.int64)
    bits, leaf, first = 0, 0, 0
    for last in range(counts.size - 1):
        merged[last] = 0
        for _ in range(2):
            if first == last or (leaf < counts.size and counts[leaf] <= merged[first]):
                merged[last] += counts[leaf]
                leaf += 1
            else:
                merged[last] += merged[first]
                first += 1
        bits += merged[last]
    return bits
