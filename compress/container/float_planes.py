"""Float values <-> bytes, without loss: plain, or as byte planes that a codec codes.

Zigzag differences between the bits of values, or of every second value, may replace them: entries of a sorted codebook
differ little, and positive and negative ones may take turns. Plane 0 holds the most significant byte of every value,
plane 1 the next, and so on. Each plane is plain or coded, whichever is smaller. docs/format.md, "Coded values",
specifies the section.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compress.codecs import CODECS, entropy_bytes
from compress.codecs.primitives.varint import decode_varint, encode_varint
from compress.codecs.protocol import Codec
from compress.errors import FormatError, PassError, offset_by
from compress.tensors.forms import FloatName
from compress.tensors.zigzag import zigzag_decode, zigzag_encode

_LITTLE_ENDIAN: dict[FloatName, str] = {"float32": "<f4", "float16": "<f2"}
_CONTEXT, _HUFFMAN = CODECS["context"], CODECS["huffman"]
_MAX_DISTANCE = 2
_FIRST_PLANE = 4
_HUFFMAN_PLANES = 0x40
_MAX_DIFFERENCED_VALUES = 1 << 16
"""Differences are tried up to this many values: more are weights, whose neighbors are independent."""


def encode_values(
    name: str, values: NDArray[np.float32], stored_as: FloatName, codec: Codec | None
) -> tuple[bytes, bool]:
    """Return the bytes of a tensor's values, and whether they are coded: if that is smaller.

    Args:
        name: of the tensor.
        values: float32, shape (n,).
        stored_as: precision in the file.
        codec: `context` or `huffman`; None: never coded.
    Raises:
        PassError: a value is not finite.
    """
    if not np.isfinite(values).all():
        raise PassError("a value is not finite, and a .sqz file holds finite values alone", tensor=name)
    stored = values.astype(_LITTLE_ENDIAN[stored_as])
    plain = stored.tobytes()
    if codec is None:
        return plain, False
    bits = stored.view(f"<u{stored.itemsize}")
    distances = range(_MAX_DISTANCE + 1) if len(bits) <= _MAX_DIFFERENCED_VALUES else range(1)
    planes = min((_encode_planes(bits, distance, codec) for distance in distances), key=len)
    return (planes, True) if len(planes) < len(plain) else (plain, False)


def decode_values(data: bytes, stored_as: FloatName, count: int, *, coded: bool) -> NDArray[np.float32]:
    """Return the `count` values of a section of the payload.

    Raises:
        FormatError: coded values break the format, or a value is not finite; the offset counts from `data[0]`.
    """
    values = _decode_planes(data, stored_as, count) if coded else np.frombuffer(data, _LITTLE_ENDIAN[stored_as])
    finite = np.isfinite(values)
    if not finite.all():
        offset = 0 if coded else int(np.argmin(finite)) * values.itemsize
        raise FormatError("a value is not finite", offset=offset, expected="finite numbers")
    return values.astype(np.float32)


def _encode_planes(bits: NDArray[np.unsignedinteger], distance: int, codec: Codec) -> bytes:
    head, sections = distance + (_HUFFMAN_PLANES if codec is _HUFFMAN else 0), []
    integers = _to_differences(bits, distance).astype(f">u{bits.itemsize}")
    for index, plane in enumerate(integers.view(np.uint8).reshape(len(bits), bits.itemsize).T):
        section, symbols = plane.tobytes(), plane.astype(np.uint16)
        if entropy_bytes(symbols) < 0.98 * len(symbols):  # otherwise coding saves nothing
            stream = codec.encode(symbols)
            coded = encode_varint(len(stream)) + stream
            if len(coded) < len(section):
                head, section = head + (_FIRST_PLANE << index), coded
        sections.append(section)
    return bytes([head]) + b"".join(sections)


def _decode_planes(data: bytes, stored_as: FloatName, count: int) -> NDArray[np.floating]:
    width = np.dtype(stored_as).itemsize
    head = data[0] if data else 0xFF
    codec = _HUFFMAN if head & _HUFFMAN_PLANES else _CONTEXT
    flags, distance = divmod(head & ~_HUFFMAN_PLANES, _FIRST_PLANE)
    if flags >> width or distance > _MAX_DISTANCE:
        raise FormatError("no coded values", offset=0, expected=f"{width} flags, and a distance up to 2")
    planes, at = [], 1
    for index in range(width):
        plane, at = _decode_plane(data, at, count, codec if flags >> index & 1 else None)
        planes.append(plane)
    if at != len(data):
        raise FormatError("bytes are left over after the values", offset=at)
    integers = np.stack(planes, axis=-1).view(f">u{width}").reshape(count).astype(f"u{width}")
    return _from_differences(integers, distance).view(stored_as)


def _decode_plane(data: bytes, start: int, count: int, codec: Codec | None) -> tuple[NDArray[np.uint8], int]:
    """Return a plane, and the byte after it; checked before memory is allocated."""
    end = start + count
    if codec:
        stream_bytes, start = decode_varint(data, start)
        end = start + stream_bytes
    if end > len(data):
        raise FormatError("the values are cut off", offset=len(data), expected=f"{end:,} bytes")
    if not codec:
        return np.frombuffer(data[start:end], np.uint8), end
    with offset_by(start):
        plane = codec.decode(data[start:end], (count,))
    if plane.max(initial=0) > 0xFF:
        raise FormatError(f"a byte of {plane.max():,}", offset=start, expected="at most 255")
    return plane.astype(np.uint8), end


def _to_differences(bits: NDArray[np.unsignedinteger], distance: int) -> NDArray[np.unsignedinteger]:
    """Return zigzag differences to the value `distance` before, or to 0, modulo 2 ** 16 or 2 ** 32."""
    if not distance:
        return bits
    differences = bits.copy()
    differences[distance:] -= bits[:-distance]
    return zigzag_encode(differences.view(f"i{bits.itemsize}"))


def _from_differences(codes: NDArray[np.unsignedinteger], distance: int) -> NDArray[np.unsignedinteger]:
    if not distance:
        return codes
    differences = zigzag_decode(codes).view(codes.dtype)
    for first in range(distance):
        np.cumsum(differences[first::distance], dtype=codes.dtype, out=differences[first::distance])
    return differences
