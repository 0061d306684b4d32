"""Fields <-> bytes: numbers, texts and choices, each checked against what is allowed there."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import TypeVar

from compress.codecs.primitives.varint import decode_varint, encode_varint
from compress.errors import FormatError, SqueezeError

_MOST = (1 << 63) - 1
_Choice = TypeVar("_Choice", bound=str)


class FieldWriter:
    """Appends fields to `data`; SqueezeError where a value is beyond what a file can hold."""

    def __init__(self) -> None:
        self.data = bytearray()

    def count(self, number: int, most: int = _MOST, what: str = "number") -> None:
        if not 0 <= number <= most:
            raise SqueezeError(f"{what}: {number:,} cannot be written to a .sqz file (allowed: 0 to {most:,})")
        self.data += encode_varint(number)

    def text(self, encoded: bytes, most: int) -> None:
        """Write a length and then the bytes of a text in UTF-8."""
        self.count(len(encoded), most, "bytes of a name")
        self.data += encoded

    def floats(self, numbers: Sequence[float]) -> None:
        if not all(math.isfinite(number) for number in numbers):
            raise SqueezeError(f"preprocessing: {tuple(numbers)} cannot be written to a .sqz file: not finite")
        self.data += struct.pack(f"<{len(numbers)}d", *numbers)


class FieldReader:
    """Takes fields from `at` on; FormatError where one is cut off or not allowed."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def take(self, length: int, what: str) -> bytes:
        taken = self._data[self.at : self.at + length]
        if len(taken) < length:
            raise FormatError(f"the header ends within {what}", offset=len(self._data))
        self.at += length
        return taken

    def count(self, most: int = _MOST, what: str = "number") -> int:
        number, after = decode_varint(self._data, self.at)
        if number > most:
            raise FormatError(f"{what}: {number:,}", offset=self.at, expected=f"at most {most:,}")
        self.at = after
        return number

    def text(self, most: int, before: bytes = b"") -> str:
        """Return the text that is `before` and then the bytes here, at most `most` of them."""
        start = self.at
        encoded = before + self.take(self.count(most, "bytes of a name"), "a name")
        try:
            return encoded.decode()
        except UnicodeDecodeError as error:
            raise FormatError("a name is not UTF-8", offset=start) from error

    def floats(self, count: int) -> tuple[float, ...]:
        numbers = struct.unpack(f"<{count}d", self.take(8 * count, "a floating-point number"))
        if not all(math.isfinite(number) for number in numbers):
            raise FormatError("a number that is not finite", offset=self.at - 8 * count)
        return numbers

    def choice(self, choices: Sequence[_Choice], what: str) -> _Choice:
        return choices[self.count(len(choices) - 1, what)]

    def end(self) -> None:
        if self.at != len(self._data):
            raise FormatError("bytes are left over after the header", offset=self.at)
