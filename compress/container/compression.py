"""Bytes <-> fewer bytes by what Python has, never decompressed to more than they say.

A coding's number is written into files and keeps its meaning: 0 as they are, 1 raw deflate (RFC 1951), 2 raw LZMA2
(dictionary of 64 KiB, lc=3, lp=0, pb=0).
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Sequence

from compress.errors import FormatError

STORED, DEFLATE, LZMA = range(3)
_LZMA_FILTERS = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 16, "lc": 3, "lp": 0, "pb": 0}]


def compress(plain: bytes, codings: Sequence[int]) -> tuple[int, bytes]:
    """Return the one of `codings` with the fewest bytes, the first where equal, and these bytes."""
    return min(((coding, _compressed(plain, coding)) for coding in codings), key=lambda coded: len(coded[1]))


def decompress(stored: bytes, coding: int, plain_bytes: int) -> bytes:
    """Return what `compress` was given, of exactly `plain_bytes`.

    Raises:
        FormatError: the coding is unknown, or `stored` is not what it writes; the offset is 0.
    """
    try:
        match coding:
            case 0:  # STORED
                plain, ended = stored, True
            case 1:  # DEFLATE
                inflater = zlib.decompressobj(-15)
                plain = inflater.decompress(stored, plain_bytes + 1)
                ended = inflater.eof and not inflater.unused_data
            case 2:  # LZMA
                unpacker = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_LZMA_FILTERS)
                plain = unpacker.decompress(stored, plain_bytes + 1)
                ended = unpacker.eof and not unpacker.unused_data
            case _:
                raise FormatError(f"compression {coding} is unknown", offset=0, expected="0, 1 or 2")
    except (zlib.error, lzma.LZMAError) as error:
        raise FormatError(f"compressed bytes are damaged ({error})", offset=0) from error
    if not ended or len(plain) != plain_bytes:
        raise FormatError("compressed bytes are not of their length", offset=0, expected=f"{plain_bytes:,} bytes")
    return plain


def _compressed(plain: bytes, coding: int) -> bytes:
    if coding == LZMA:
        return lzma.compress(plain, lzma.FORMAT_RAW, filters=_LZMA_FILTERS)
    if coding == DEFLATE:
        compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
        return compressor.compress(plain) + compressor.flush()
    return plain
