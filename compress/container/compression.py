"""General compression of the header and of class names: none, or raw deflate."""

from __future__ import annotations

import zlib

from compress.errors import FormatError

STORED, DEFLATE = range(2)
"""How bytes are compressed. The numbers are part of the file format."""


def compress(plain: bytes) -> tuple[int, bytes]:
    """Return the compression with the fewest bytes, none where equal, and the compressed bytes."""
    deflated = zlib.compress(plain, 9, -15)
    return (DEFLATE, deflated) if len(deflated) < len(plain) else (STORED, plain)


def decompress(stored: bytes, coding: int, plain_bytes: int) -> bytes:
    """Return the `plain_bytes` bytes that `compress` was given, and never decompress more.

    Raises:
        FormatError: the coding is unknown, or `stored` is damaged or of another length; the offset is 0.
    """
    if coding not in (STORED, DEFLATE):
        raise FormatError(f"compression {coding} is unknown", offset=0, expected="0 or 1")
    plain, ended = stored, True
    if coding == DEFLATE:
        decoder = zlib.decompressobj(-15)
        try:
            plain = decoder.decompress(stored, plain_bytes + 1)
        except zlib.error as error:
            raise FormatError(f"compressed bytes are damaged ({error})", offset=0) from error
        ended = decoder.eof and not decoder.unused_data
    if not ended or len(plain) != plain_bytes:
        raise FormatError("compressed bytes have another length", offset=0, expected=f"{plain_bytes:,} bytes")
    return plain
