"""Counts, small ones in one byte: seven bits a byte, the lowest first; the top bit says that more follow."""

from __future__ import annotations

from compress.errors import FormatError

_MOST_BYTES = 9  # 63 bits: more than any count in a file


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
    """Return the number at byte `at` and the byte after it.

    Raises:
        FormatError: it does not end, or takes more bytes than it has to.
    """
    if at < len(data) and (first := data[at]) < 0x80:  # as most are
        return first, at + 1
    number = 0
    for index, byte in enumerate(data[at : at + _MOST_BYTES]):
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if byte == 0 and index > 0:
                raise FormatError("a number in more bytes than it takes", offset=at)
            return number, at + index + 1
    raise FormatError("a number does not end", offset=at, expected=f"at most {_MOST_BYTES} bytes")
