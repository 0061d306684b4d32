"""Hostile files: a good file with one change and correct checksums, or with damage."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace

from benchmarks.format_models import levels_model, small_model
from compress.container.file import encode
from compress.container.header import FileHeader
from compress.container.prefix import MAGIC, PREFIX


def small_file() -> bytes:
    return encode(small_model())


def levels_file() -> bytes:
    return encode(levels_model(), ["context", "huffman"])


def header_bytes_of(data: bytes) -> bytes:
    """Return the header of a good file, uncompressed."""
    _, _, coding, stored_bytes, _, _ = PREFIX.unpack(data[: PREFIX.size])
    stored = data[PREFIX.size : PREFIX.size + stored_bytes]
    return zlib.decompress(stored, -15) if coding else stored


def header_of(data: bytes) -> FileHeader:
    """Return the header of a good file."""
    return FileHeader.from_bytes(header_bytes_of(data), 1 << 20)


def body_of(data: bytes) -> bytes:
    """Return everything after the header, except the checksum of the file."""
    return data[PREFIX.size + PREFIX.unpack(data[: PREFIX.size])[3] : -4]


def with_tensor(good: bytes, index: int, **fields: object) -> bytes:
    """Return the file with other fields in the record of a tensor, and the same payload."""
    return with_payload(good, index, None, **fields)


def with_payload(good: bytes, index: int, payload: bytes | None, **fields: object) -> bytes:
    """Return the file with another payload of a tensor, unless None, and other fields in its record."""
    header, body = header_of(good), body_of(good)
    tensors = list(header.tensors)
    if payload is not None:
        start = header.label_bytes + sum(tensor.payload_bytes + 4 for tensor in tensors[:index])
        body = body[:start] + with_crc(payload) + body[start + tensors[index].payload_bytes + 4 :]
    tensors[index] = replace(tensors[index], **fields)
    return sealed(replace(header, tensors=tuple(tensors)).to_bytes(), body)


def payload_of(good: bytes, index: int) -> bytes:
    """Return the payload of a tensor of a good file."""
    header = header_of(good)
    start = header.label_bytes + sum(tensor.payload_bytes + 4 for tensor in header.tensors[:index])
    return body_of(good)[start : start + header.tensors[index].payload_bytes]


def sealed(header: bytes, body: bytes, *, plain_bytes: int | None = None, coding: int = 0, version: int = 1) -> bytes:
    """Return a file of these parts with correct checksums."""
    plain_bytes = len(header) if plain_bytes is None else plain_bytes
    data = PREFIX.pack(MAGIC, version, coding, len(header), plain_bytes, zlib.crc32(header)) + header + body
    return data + struct.pack("<I", zlib.crc32(data))


def with_crc(payload: bytes) -> bytes:
    return payload + struct.pack("<I", zlib.crc32(payload))


def flipped_bits(good: bytes) -> Iterator[bytes]:
    """Yield a file, or a stream, once for each of its bits, with this bit flipped."""
    for bit in range(8 * len(good)):
        damaged = bytearray(good)
        damaged[bit // 8] ^= 1 << bit % 8
        yield bytes(damaged)
