"""Float values <-> bytes: as they are, or in fewer bytes, without loss.

In fewer: a value's bits are a whole number; a difference to the value one or two places before may stand for it, in
zigzag. Of all of these come the most significant bytes, then the next ones, and so on: each such plane as it is, or
coded as codec `context` does. Exponents hardly vary, and a codebook's values follow each other closely (two places
apart, where positive and negative ones take turns).

Layout: one byte, how many places before (0: no differences), plus 4 for the first plane coded, 8 for the second...;
then the planes, a coded one after a varint, its bytes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compress.codecs import CODECS, entropy_bytes
from compress.codecs.primitives.error_offsets import offset_by
from compress.codecs.primitives.varint import decode_varint, encode_varint
from compress.errors import FormatError, PassError
from compress.tensors.forms import FloatName

_LITTLE_ENDIAN = {"float32": "<f4", "float16": "<f2"}
_BITS: dict[FloatName, type[np.unsignedinteger]] = {"float32": np.uint32, "float16": np.uint16}
_CONTEXT = CODECS["context"]
_MOST_BACK = 2
_MOST_DIFFERENCES = 1 << 16
"""Values up to which differences are tried; more are weights, which do not follow each other."""

_HOPELESS = 0.98
"""Where the order-0 entropy of a plane is above this share of it, coding is not tried."""


def encode_values(name: str, values: NDArray[np.float32], stored_as: FloatName, *, coded: bool) -> tuple[bytes, bool]:
    """Return the bytes of `values`, and whether they are coded: they are if it is allowed and makes them fewer.

    Args:
        name: of the tensor, for errors.
        values: float32, shape (n,).
        stored_as: precision in the file.
        coded: whether it is allowed.
    Raises:
        PassError: a value is not finite.
    """
    if not np.isfinite(values).all():
        raise PassError("a value is not finite, and only finite ones can be written", tensor=name)
    stored = values.astype(_LITTLE_ENDIAN[stored_as])
    plain = stored.tobytes()
    if not coded:
        return plain, False
    bits = np.frombuffer(plain, stored.dtype.str.replace("f", "u"))
    tried = range(_MOST_BACK + 1) if len(bits) <= _MOST_DIFFERENCES else range(1)
    planes = min((_encode_planes(bits, back) for back in tried), key=len)
    return min((plain, False), (planes, True), key=lambda candidate: len(candidate[0]))


def decode_plain(data: bytes, stored_as: FloatName) -> NDArray[np.float32]:
    """Return values that are stored as they are.

    Raises:
        FormatError: one is not finite.
    """
    return _finite(np.frombuffer(data, _LITTLE_ENDIAN[stored_as]), offsets=True)


def decode_coded(data: bytes, stored_as: FloatName, count: int) -> NDArray[np.float32]:
    """Return the `count` values that are coded in `data`.

    Raises:
        FormatError: `data` is not what the format says, or a value is not finite.
    """
    kind = _BITS[stored_as]
    width = np.dtype(kind).itemsize
    head = data[0] if data else 0xFF
    if head >> (2 + width) or head & 3 > _MOST_BACK:
        raise FormatError("no coded values", offset=0, expected=f"a byte below {4 << width}, modulo 4 at most 2")
    bits, at = np.zeros((), dtype=kind), 1  # takes its length from the first plane: no memory for a count not yet met
    for place in range(width):
        plane, at = _decode_plane(data, at, count, coded=bool(head >> (2 + place) & 1))
        bits = bits | plane.astype(kind) << kind(8 * (width - 1 - place))
    if at != len(data):
        raise FormatError("bytes are left over after the values", offset=at)
    return _finite(_without_differences(bits, head & 3).view(stored_as), offsets=False)


def _encode_planes(bits: NDArray[np.unsignedinteger], back: int) -> bytes:
    head, planes = back, b""
    width = bits.itemsize
    bits = _with_differences(bits, back)
    for place in range(width):
        plane = (bits >> bits.dtype.type(8 * (width - 1 - place)) & bits.dtype.type(0xFF)).astype(np.uint16)
        stored = plane.astype(np.uint8).tobytes()
        if entropy_bytes(plane) < _HOPELESS * len(plane):
            stream = _CONTEXT.encode(plane)
            stream = encode_varint(len(stream)) + stream
            if len(stream) < len(stored):
                head |= 4 << place
                stored = stream
        planes += stored
    return bytes([head]) + planes


def _decode_plane(data: bytes, at: int, count: int, *, coded: bool) -> tuple[NDArray[np.generic], int]:
    """Return a plane of bytes, and the byte after it."""
    start = at
    end = at + count
    if coded:
        coded_bytes, start = decode_varint(data, at)
        end = start + coded_bytes
    if end > len(data):
        raise FormatError("the values are cut off", offset=len(data), expected=f"{end:,} bytes")
    if not coded:
        return np.frombuffer(data[start:end], np.uint8), end
    with offset_by(start):
        plane = _CONTEXT.decode(data[start:end], (count,))
    if plane.max(initial=0) > 0xFF:
        raise FormatError(f"a byte of {plane.max():,}", offset=start, expected="at most 255")
    return plane, end


def _with_differences(bits: NDArray[np.unsignedinteger], back: int) -> NDArray[np.unsignedinteger]:
    """Return zigzag differences, modulo what the bits can hold, to the values so many places before, or to 0."""
    if not back:
        return bits
    steps = bits.copy()
    steps[back:] -= bits[:-back]
    negative = steps >> steps.dtype.type(8 * steps.itemsize - 1)
    return np.where(negative, ~(steps << 1), steps << 1).astype(bits.dtype)


def _without_differences(coded: NDArray[np.unsignedinteger], back: int) -> NDArray[np.unsignedinteger]:
    if not back:
        return coded
    steps = np.where(coded & 1, ~(coded >> 1), coded >> 1).astype(coded.dtype)
    bits = np.empty_like(steps)
    for first in range(back):
        bits[first::back] = np.cumsum(steps[first::back], dtype=coded.dtype)
    return bits


def _finite(values: NDArray[np.floating], *, offsets: bool) -> NDArray[np.float32]:
    finite = np.isfinite(values)
    if not finite.all():
        offset = int(np.argmin(finite)) * values.itemsize if offsets else 0
        raise FormatError("a value is not finite", offset=offset, expected="finite numbers")
    return values.astype(np.float32)
