"""What a `.sqz` file says about itself before the payloads: the header's fields and their bytes (docs/format.md)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from compress.container.field_io import FieldReader, FieldWriter
from compress.container.tensor_record import TensorHeader, _read_tensor, _write_tensor
from compress.errors import FormatError
from compress.model import Preprocessing

MOST_CLASSES = 1 << 24
MOST_PIXELS = 1 << 16
MOST_CHANNELS = 16
MOST_TENSORS = 1 << 13
MOST_TEXT_BYTES = 1 << 10

_RESIZES: tuple[Literal["squash", "crop"], ...] = ("squash", "crop")
_CHANNELS: tuple[Literal["RGB", "BGR", "L"], ...] = ("RGB", "BGR", "L")


@dataclass(frozen=True)
class Header:
    """The whole header.

    Attributes:
        architecture: as in `Model`.
        classes: as in `Model`.
        preprocessing: as in `Model`.
        label_coding: how the labels are compressed; 0 with no bytes where there are none.
        label_bytes: labels, as stored.
        label_plain_bytes: labels, decompressed.
        tensors: in the order of their payloads.
    """

    architecture: str
    classes: int
    preprocessing: Preprocessing
    label_coding: int
    label_bytes: int
    label_plain_bytes: int
    tensors: tuple[TensorHeader, ...]

    def to_bytes(self) -> bytes:
        """Return the header, not compressed.

        Raises:
            SqueezeError: a number is larger than the format allows.
        """
        out = FieldWriter()
        out.text(self.architecture.encode(), MOST_TEXT_BYTES)
        out.count(self.classes, MOST_CLASSES, "classes")
        _write_preprocessing(out, self.preprocessing)
        for number in (self.label_coding, self.label_bytes, self.label_plain_bytes):
            out.count(number)
        out.count(len(self.tensors), MOST_TENSORS, "tensors")
        _write_names(out, [tensor.name for tensor in self.tensors])
        for tensor in self.tensors:
            _write_tensor(out, tensor)
        return bytes(out.data)

    @classmethod
    def from_bytes(cls, data: bytes, max_weights: int) -> Header:
        """Read back what `to_bytes` wrote, every number checked.

        Raises:
            FormatError: it is not a header; the offset counts from `data[0]`.
        """
        read = FieldReader(data)
        architecture = read.text(MOST_TEXT_BYTES)
        classes = read.count(MOST_CLASSES, "classes")
        preprocessing = _read_preprocessing(read)
        label_coding, label_bytes, label_plain_bytes = (read.count() for _ in range(3))
        names = _read_names(read)
        tensors = []
        for name in names:
            tensors.append(_read_tensor(read, name, max_weights))
            max_weights -= tensors[-1].weights
        read.end()
        return cls(architecture, classes, preprocessing, label_coding, label_bytes, label_plain_bytes, tuple(tensors))


def _write_preprocessing(out: FieldWriter, preprocessing: Preprocessing) -> None:
    for pixels in (preprocessing.height, preprocessing.width, preprocessing.short_side):
        out.count(pixels, MOST_PIXELS, "pixels")
    out.count(_RESIZES.index(preprocessing.resize))
    out.count(_CHANNELS.index(preprocessing.channels))
    out.floats([preprocessing.scale])
    for numbers in (preprocessing.mean, preprocessing.deviation):
        out.count(len(numbers), MOST_CHANNELS, "channels")
        out.floats(numbers)


def _read_preprocessing(read: FieldReader) -> Preprocessing:
    height, width, short_side = (read.count(MOST_PIXELS, "pixels") for _ in range(3))
    resize = read.choice(_RESIZES, "resize")
    channels = read.choice(_CHANNELS, "channels")
    (scale,) = read.floats(1)
    mean = read.floats(read.count(MOST_CHANNELS, "channels"))
    deviation = read.floats(read.count(MOST_CHANNELS, "channels"))
    return Preprocessing(height, width, resize, channels, scale, mean, deviation, short_side)


def _write_names(out: FieldWriter, names: Sequence[str]) -> None:
    """Write of each name how many bytes it shares with the start of the one before, and those that follow."""
    before = b""
    for name in names:
        encoded = name.encode()
        shared = len(os.path.commonprefix([before, encoded]))  # noqa: RUF071 - byte by byte is what is wanted
        out.count(shared)
        out.text(encoded[shared:], MOST_TEXT_BYTES - shared)
        before = encoded


def _read_names(read: FieldReader) -> list[str]:
    names: dict[str, None] = {}
    before = b""
    for _ in range(read.count(MOST_TENSORS, "tensors")):
        shared = read.count(len(before), "bytes that a name shares with the one before")
        name = read.text(MOST_TEXT_BYTES - shared, before[:shared])
        if name in names:
            raise FormatError(f"two tensors are named {name!r}", offset=read.at)
        names[name] = None
        before = name.encode()
    return list(names)
