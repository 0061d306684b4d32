"""Several prefix codes in one stream: the column of a symbol selects its code.

Stream: one byte, 128 plus the number of codes; their tables; the number of the code of each column; the codewords.
docs/format.md, "huffman", specifies the stream.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from compress.codecs.primitives.column_groups import MAX_GROUPS, Grouping
from compress.codecs.primitives.prefix_bits import (
    LENGTH_BITS,
    ReadOnlyBytes,
    Selectors,
    Tables,
    check_codewords_end,
    pack_columns,
)
from compress.codecs.primitives.prefix_code import PrefixCode
from compress.codecs.primitives.prefix_code_reader import MAX_LENGTH
from compress.codecs.primitives.symbol_histogram import Counts
from compress.errors import FormatError, offset_by
from compress.runtime.jit import Contiguous, compiled

_HEAD = 0x80
"""A table of at least one symbol begins with a zero bit, and one without symbols is 0x80."""

_LENGTH_MASK = (1 << LENGTH_BITS) - 1
_Out = Annotated[NDArray[np.uint16], Contiguous(1)]


def has_column_codes(data: bytes) -> bool:
    """Return whether a stream has several codes."""
    return len(data) > 0 and data[0] > _HEAD


def selectors_bytes(columns: int, codes: int) -> int:
    """Return the bytes for the number of the code of each column."""
    return (columns * _selector_bits(codes) + 7) // 8


def encode_columns(symbols: NDArray[np.uint16], grouping: Grouping) -> bytes:
    """Return the stream of symbols whose second dimension is the column; each group has the code of its frequencies."""
    codes = [PrefixCode.from_counts(counts) for counts in grouping.counts]
    bits = sum(code.bits(counts) for code, counts in zip(codes, grouping.counts, strict=True))
    places = np.arange(_selector_bits(len(codes)))[::-1]
    selectors = np.packbits((grouping.group[:, None] >> places & 1).astype(np.uint8))
    tables = _stacked([code.encoding_table() for code in codes])
    words = pack_columns(symbols, tables, grouping.group, bits)
    head = bytes([_HEAD + len(codes)]), *(code.to_bytes() for code in codes)
    return b"".join(head) + selectors.tobytes() + words


def decode_columns(data: bytes, shape: tuple[int, ...]) -> NDArray[np.uint16]:
    """Return the symbols of a stream.

    Raises:
        FormatError: `data` is not a stream of symbols of this shape; the offset counts from `data[0]`.
    """
    number, at = data[0] - _HEAD, 1
    if not 2 <= number <= MAX_GROUPS:
        raise FormatError(f"{number} codes", offset=0, expected=f"1 to {MAX_GROUPS}")
    if math.prod(shape) == 0:
        raise FormatError("codes by column for no symbols", offset=0, expected="a code without symbols")
    codes = []
    for _ in range(number):
        with offset_by(at):
            code, code_bytes = PrefixCode.from_bytes(data[at:])
            if not code.symbols.size:
                raise FormatError("the code has no symbols", offset=0)
        codes.append(code)
        at += code_bytes
    columns = shape[1] if len(shape) > 1 else 1
    selectors, end = _read_selectors(data, at, columns, number)
    tables = [code.decoding_table() for code in codes]
    table_bits = np.array([(len(table) - 1).bit_length() for table in tables])
    symbols = np.empty(math.prod(shape), np.uint16)
    words = np.frombuffer(data, np.uint8, offset=end)
    bits = _unpack(words, _stacked(tables), table_bits, selectors, math.prod(shape[2:]), symbols)
    check_codewords_end(data, end, bits, symbols.size)
    return symbols.reshape(shape)


def _selector_bits(codes: int) -> int:
    return (codes - 1).bit_length()


def _stacked(tables: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
    stacked = np.zeros((len(tables), max(map(len, tables))), np.int32)
    for row, table in zip(stacked, tables, strict=True):
        row[: len(table)] = table
    return stacked


def _read_selectors(data: bytes, start: int, columns: int, codes: int) -> tuple[NDArray[np.uint8], int]:
    """Return the code of each column, and the byte after them."""
    end = start + selectors_bytes(columns, codes)
    if end > len(data):
        raise FormatError("the codes of columns are cut off", offset=len(data), expected=f"{columns:,} columns")
    width = _selector_bits(codes)
    bits = np.unpackbits(np.frombuffer(data[start:end], np.uint8))
    if bits[columns * width :].any():
        raise FormatError("padding after the codes of columns is not zero", offset=end - 1)
    selectors = np.packbits(bits[: columns * width].reshape(columns, width), axis=1)[:, 0] // (1 << (8 - width))
    if selectors.max(initial=0) >= codes:
        raise FormatError(f"code {selectors.max()}", offset=start, expected=f"0 to {codes - 1}")
    return selectors, end


@compiled()
def _unpack(
    data: ReadOnlyBytes, tables: Tables, table_bits: Counts, code_of_column: Selectors, taps: int, out: _Out
) -> int:
    """Fill `out` with symbols in the order of `pack_columns`, and return the bits read; -1 if they end too early.

    Args:
        data: the codewords.
        tables: `symbol << LENGTH_BITS | length` for each code and string of `table_bits` bits.
        table_bits: shape (codes,), bits of the longest codeword of each code.
        code_of_column: shape (columns,).
        taps: at least 1.
        out: the symbols.
    """
    at, end, column, tap = 0, 8 * data.size, 0, 0
    for index in range(out.size):
        code, first, window = code_of_column[column], at >> 3, 0
        for place in range(first, first + 3):
            window <<= 8
            if place < data.size:
                window |= data[place]
        entry = tables[code, (window >> (8 - (at & 7)) & 0xFFFF) >> (MAX_LENGTH - table_bits[code])]
        at += entry & _LENGTH_MASK
        if at > end:
            return -1
        out[index] = entry >> LENGTH_BITS
        tap += 1
        if tap == taps:
            tap, column = 0, column + 1 if column + 1 < code_of_column.size else 0
    return at
