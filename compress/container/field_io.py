"""Fields of the header <-> bytes, each checked against its limit."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import TypeVar

from compress.codecs.primitives.varint import decode_varint, encode_varint
from compress.errors import FormatError, SqueezeError

_MAX_VARINT = (1 << 63) - 1
_Choice = TypeVar("_Choice", bound=str)


class FieldWriter:
    """Appends fields to `data`. Methods raise SqueezeError for a value that the format cannot hold."""

    def __init__(self) -> None:
        self.data = bytearray()

    def varint(self, number: int, maximum: int = _MAX_VARINT, field: str = "number") -> None:
        if not 0 <= number <= maximum:
            raise SqueezeError(f"{field}: {number:,} does not fit a .sqz file (allowed: 0 to {maximum:,})")
        self.data += encode_varint(number)

    def text(self, encoded: bytes, max_bytes: int, field: str = "name") -> None:
        """Write the length and the bytes of an encoded text, or of another field."""
        self.varint(len(encoded), max_bytes, f"bytes of a {field}")
        self.data += encoded

    def floats(self, numbers: Sequence[float]) -> None:
        if not all(math.isfinite(number) for number in numbers):
            raise SqueezeError(f"preprocessing: {tuple(numbers)} does not fit a .sqz file: not finite")
        self.data += struct.pack(f"<{len(numbers)}d", *numbers)


class FieldReader:
    """Reads fields from byte `at` on. Methods raise FormatError for a field that is cut off or out of range."""

    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def varint(self, maximum: int = _MAX_VARINT, field: str = "number") -> int:
        number, end = decode_varint(self._data, self.at)
        if number > maximum:
            raise FormatError(f"{field}: {number:,}", offset=self.at, expected=f"at most {maximum:,}")
        self.at = end
        return number

    def text(self, max_bytes: int, prefix: bytes = b"") -> str:
        """Return the text whose bytes are `prefix` and then at most `max_bytes` bytes of the data."""
        start = self.at
        encoded = prefix + self._take(self.varint(max_bytes, "bytes of a name"), "a name")
        try:
            return encoded.decode()
        except UnicodeDecodeError as error:
            raise FormatError("a name is not UTF-8", offset=start) from error

    def floats(self, count: int) -> tuple[float, ...]:
        numbers = struct.unpack(f"<{count}d", self._take(8 * count, "a floating-point number"))
        if not all(math.isfinite(number) for number in numbers):
            raise FormatError("a number is not finite", offset=self.at - 8 * count)
        return numbers

    def choice(self, choices: Sequence[_Choice], field: str) -> _Choice:
        return choices[self.varint(len(choices) - 1, field)]

    def optional_bytes(self, max_bytes: int, field: str) -> bytes:
        """Return the bytes of a last field, at least one, which `text` wrote; empty if the header ends here."""
        if self.at == len(self._data):
            return b""
        start = self.at
        content = self._take(self.varint(max_bytes, f"bytes of a {field}"), f"a {field}")
        if not content:
            raise FormatError(f"bytes are left over after the header: an empty {field}", offset=start)
        return content

    def end(self) -> None:
        """Check that no bytes follow."""
        if self.at != len(self._data):
            raise FormatError("bytes are left over after the header", offset=self.at)

    def _take(self, count: int, field: str) -> bytes:
        taken = self._data[self.at : self.at + count]
        if len(taken) < count:
            raise FormatError(f"the header ends within {field}", offset=len(self._data))
        self.at += count
        return taken
