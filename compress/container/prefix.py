"""The start of a `.sqz` file: magic, version, length and checksum of the header, and the header. Checks of the file."""

from __future__ import annotations

import struct
import zlib

from compress.container.compression import compress, decompress
from compress.container.header import FileHeader
from compress.errors import FormatError, offset_by

MAGIC = b"\x89sqz\r\n\x1a\n"
VERSION = 1
PREFIX = struct.Struct("<8sBBIII")
"""Magic, version, compression of the header, its bytes as stored and uncompressed, CRC-32 of the header as stored."""

CRC = struct.Struct("<I")

MAX_WEIGHTS_PER_BYTE = 1024
"""Default limit of the weights to decode for each byte of the file."""

MIN_MAX_WEIGHTS, MAX_WEIGHTS = 1 << 24, 1 << 28
"""Bounds of this limit: 64 megabytes and a gigabyte of float32."""

_MAGIC_BEFORE_0_1_0 = b"\x89SQZ"
_OTHER_FILES = {
    MAGIC[:4]: "; a transfer as text changed its line ends",
    MAGIC[:4].decode("latin-1").encode(): "; a transfer as text changed its bytes",
    b"version ": ", but a pointer of Git LFS; run git lfs pull",
    b"<": ", but a web page, perhaps the error of a download; download it again",
    b"\x1f\x8b": ", but compressed by gzip; decompress it first",
}
"""What else a file is, by its first bytes."""

_MAX_HEADER_BYTES = 1 << 24


def header_to_bytes(header: FileHeader) -> bytes:
    """Return the file up to the end of the header.

    Raises:
        SqueezeError: a number in the header is larger than the format allows.
    """
    plain = header.to_bytes()
    coding, stored = compress(plain)
    return PREFIX.pack(MAGIC, VERSION, coding, len(stored), len(plain), zlib.crc32(stored)) + stored


def read_header(data: bytes, max_weights: int | None) -> tuple[FileHeader, int]:
    """Return the header, and the offset of the byte after it; check the length and the checksum of the file.

    Raises:
        FormatError: the file is not a `.sqz` file, or is cut off, too long or damaged.
    """
    _check_magic(data[: len(MAGIC)])
    if len(data) < PREFIX.size:
        raise FormatError("the file is cut off", offset=len(data), expected=f"at least {PREFIX.size} bytes")
    _, version, coding, stored_bytes, plain_bytes, crc = PREFIX.unpack_from(data)
    if version != VERSION:
        problem = f"format version {version} is unknown; a newer squeeze-compress may read it"
        raise FormatError(problem, offset=8, expected=f"version {VERSION}")
    start = PREFIX.size + stored_bytes
    stored = data[PREFIX.size : start]
    if len(stored) < stored_bytes:
        raise FormatError("the file is cut off within the header", offset=len(data), expected=f"{start:,} bytes")
    if zlib.crc32(stored) != crc:
        raise FormatError("the header is damaged", offset=PREFIX.size, expected="its checksum")
    if plain_bytes > _MAX_HEADER_BYTES:
        raise FormatError(f"a header of {plain_bytes:,} bytes", offset=14, expected=f"at most {_MAX_HEADER_BYTES:,}")
    if max_weights is None:
        max_weights = min(MAX_WEIGHTS, max(MIN_MAX_WEIGHTS, MAX_WEIGHTS_PER_BYTE * len(data)))
    with offset_by(PREFIX.size, "header"):
        header = FileHeader.from_bytes(decompress(stored, coding, plain_bytes), max_weights)
    end = start + header.label_bytes + sum(record.payload_bytes + CRC.size for record in header.tensors)
    if len(data) != end + CRC.size:
        problem = "the file is cut off" if len(data) < end + CRC.size else "bytes are left over after the last checksum"
        raise FormatError(problem, offset=min(len(data), end + CRC.size), expected=f"{end + CRC.size:,} bytes")
    if CRC.pack(zlib.crc32(memoryview(data)[:end])) != data[end:]:
        raise FormatError("the file is damaged", offset=end, expected="its checksum")
    return header, start


def _check_magic(start: bytes) -> None:
    if start == MAGIC[: len(start)]:  # a file that is cut off here is reported as such
        return
    if start[:4] == _MAGIC_BEFORE_0_1_0:
        problem = "the file was written by a version of squeeze-compress before 0.1.0; make it again with this version"
        raise FormatError(problem, offset=0)
    kinds = (kind for first, kind in _OTHER_FILES.items() if start.startswith(first))
    raise FormatError(f"not a .sqz file{next(kinds, '')}", offset=0, expected="the .sqz magic bytes")
