"""Bytes and texts as C source."""

from __future__ import annotations

_BYTES_PER_LINE = 32


def c_bytes(data: bytes) -> str:
    """Return the elements of an array, in lines of 32."""
    lines = (data[start : start + _BYTES_PER_LINE] for start in range(0, len(data), _BYTES_PER_LINE))
    return ",\n".join(",".join(map(str, line)) for line in lines)


def c_string(text: str) -> str:
    """Return a string literal in ASCII; other characters are escaped UTF-8."""
    plain = (chr(byte) if chr(byte).isprintable() and byte < 0x7F else f"\\{byte:03o}" for byte in text.encode())
    # A `?` may begin a trigraph.
    escaped = ("\\" + each if each in '"\\?' and len(each) == 1 else each for each in plain)
    return '"' + "".join(escaped) + '"'
