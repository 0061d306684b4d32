"""Variable-length integers: seven bits a byte, least significant first; the top bit marks a continuation."""

from __future__ import annotations

from compress.errors import FormatError

_MAX_BYTES = 9  # 63 bits


def encode_varint(number: int) -> bytes:
    """Return `number`, 0 to 2 ** 63 - 1, in 1 to 9 bytes."""
    assert 0 <= number < 1 << 63
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def decode_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at byte `at`, and the byte after it.

    Raises:
        FormatError: it is cut off, or has more bytes than needed.
    """
    if at < len(data) and (first := data[at]) < 0x80:  # the common case
        return first, at + 1
    number = 0
    for index, byte in enumerate(data[at : at + _MAX_BYTES]):
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if byte == 0 and index > 0:
                raise FormatError("a number has more bytes than it needs", offset=at)
            return number, at + index + 1
    raise FormatError("a number does not end", offset=at, expected=f"at most {_MAX_BYTES} bytes")
