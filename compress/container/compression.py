"""General compression of the header and of class names: none, raw deflate or raw LZMA2."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Sequence

from compress.errors import FormatError

STORED, DEFLATE, LZMA = range(3)
"""How bytes are compressed. The numbers are part of the file format."""

_LZMA_FILTERS = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 16, "lc": 3, "lp": 0, "pb": 0}]


def compress(plain: bytes, codings: Sequence[int]) -> tuple[int, bytes]:
    """Return the coding with the fewest bytes, the first where equal, and the compressed bytes."""
    return min(((coding, _compress_as(coding, plain)) for coding in codings), key=lambda coded: len(coded[1]))


def decompress(stored: bytes, coding: int, plain_bytes: int) -> bytes:
    """Return the `plain_bytes` bytes that `compress` was given, and never decompress more.

    Raises:
        FormatError: the coding is unknown, or `stored` is damaged or of another length; the offset is 0.
    """
    if coding not in (STORED, DEFLATE, LZMA):
        raise FormatError(f"compression {coding} is unknown", offset=0, expected="0, 1 or 2")
    plain, ended = stored, True
    if coding != STORED:
        is_lzma = coding == LZMA
        decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, None, _LZMA_FILTERS) if is_lzma else zlib.decompressobj(-15)
        try:
            plain = decoder.decompress(stored, plain_bytes + 1)
        except (zlib.error, lzma.LZMAError) as error:
            raise FormatError(f"compressed bytes are damaged ({error})", offset=0) from error
        ended = decoder.eof and not decoder.unused_data
    if not ended or len(plain) != plain_bytes:
        raise FormatError("compressed bytes have another length", offset=0, expected=f"{plain_bytes:,} bytes")
    return plain


def _compress_as(coding: int, plain: bytes) -> bytes:
    if coding == LZMA:
        return lzma.compress(plain, lzma.FORMAT_RAW, filters=_LZMA_FILTERS)
    if coding == DEFLATE:
        return zlib.compress(plain, 9, -15)
    return plain
