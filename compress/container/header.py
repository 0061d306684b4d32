"""The header of a `.sqz` file <-> bytes: network, preprocessing, class names' lengths, a record for each tensor."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from compress.container.field_io import FieldReader, FieldWriter
from compress.container.tensor_record import TensorRecord
from compress.errors import FormatError
from compress.model import Preprocessing

MAX_NAME_BYTES = 1 << 10
_MAX_CLASSES = 1 << 24
_MAX_PIXELS = 1 << 16
_MAX_CHANNELS = 16
_MAX_TENSORS = 1 << 13
MAX_PROGRAM_BYTES = 1 << 16

_RESIZES: tuple[Literal["squash", "crop"], ...] = ("squash", "crop")
_CHANNELS: tuple[Literal["RGB", "BGR", "L"], ...] = ("RGB", "BGR", "L")


@dataclass(frozen=True)
class FileHeader:
    """The header: fields of `Model`; compression and bytes of the class names, as stored and plain; tensors."""

    architecture: str
    classes: int
    preprocessing: Preprocessing
    label_coding: int
    label_bytes: int
    label_plain_bytes: int
    tensors: tuple[TensorRecord, ...]
    program: bytes = b""

    def to_bytes(self) -> bytes:
        """Return the header, uncompressed.

        Raises:
            SqueezeError: a number is larger than the format allows.
        """
        out = FieldWriter()
        out.text(self.architecture.encode(), MAX_NAME_BYTES)
        out.varint(self.classes, _MAX_CLASSES, "classes")
        _write_preprocessing(out, self.preprocessing)
        for number in (self.label_coding, self.label_bytes, self.label_plain_bytes):
            out.varint(number)
        out.varint(len(self.tensors), _MAX_TENSORS, "tensors")
        _write_names(out, (tensor.name for tensor in self.tensors))
        for tensor in self.tensors:
            tensor.write(out)
        if self.program:
            out.text(self.program, MAX_PROGRAM_BYTES, "program")
        return bytes(out.data)

    @classmethod
    def from_bytes(cls, data: bytes, max_weights: int) -> FileHeader:
        """Return the header that `to_bytes` wrote; `max_weights` limits the weights of all tensors together.

        Raises:
            FormatError: `data` is not a header, or beyond a limit; the offset counts from `data[0]`.
        """
        fields = FieldReader(data)
        architecture = fields.text(MAX_NAME_BYTES)
        classes = fields.varint(_MAX_CLASSES, "classes")
        preprocessing = _read_preprocessing(fields)
        label_coding, label_bytes, label_plain_bytes = (fields.varint() for _ in range(3))
        tensors = []
        for name in _read_names(fields, fields.varint(_MAX_TENSORS, "tensors")):
            tensors.append(TensorRecord.read(fields, name, max_weights))
            max_weights -= tensors[-1].weights
        program = fields.optional_bytes(MAX_PROGRAM_BYTES, "program")
        fields.end()
        labels = label_coding, label_bytes, label_plain_bytes
        return cls(architecture, classes, preprocessing, *labels, tuple(tensors), program)


def _write_preprocessing(out: FieldWriter, preprocessing: Preprocessing) -> None:
    for pixels in (preprocessing.height, preprocessing.width, preprocessing.short_side):
        out.varint(pixels, _MAX_PIXELS, "pixels")
    out.varint(_RESIZES.index(preprocessing.resize))
    out.varint(_CHANNELS.index(preprocessing.channels))
    out.floats([preprocessing.scale])
    for numbers in (preprocessing.mean, preprocessing.std):
        out.varint(len(numbers), _MAX_CHANNELS, "channels")
        out.floats(numbers)


def _read_preprocessing(fields: FieldReader) -> Preprocessing:
    height, width, short_side = (fields.varint(_MAX_PIXELS, "pixels") for _ in range(3))
    resize = fields.choice(_RESIZES, "resize")
    channels = fields.choice(_CHANNELS, "channels")
    (scale,) = fields.floats(1)
    mean, std = (fields.floats(fields.varint(_MAX_CHANNELS, "channels")) for _ in range(2))
    return Preprocessing(height, width, resize, channels, scale, mean, std, short_side)


def _write_names(out: FieldWriter, names: Iterable[str]) -> None:
    """Write the bytes that each name shares with the start of the previous one, and the rest (front coding)."""
    previous = b""
    for name in names:
        encoded = name.encode()
        shared = len(os.path.commonprefix([previous, encoded]))  # noqa: RUF071 - of bytes, not of path components
        out.varint(shared)
        out.text(encoded[shared:], MAX_NAME_BYTES - shared)
        previous = encoded


def _read_names(fields: FieldReader, count: int) -> list[str]:
    names: dict[str, None] = {}
    previous = b""
    for _ in range(count):
        shared = fields.varint(len(previous), "shared bytes of a name")
        name = fields.text(MAX_NAME_BYTES - shared, previous[:shared])
        if name in names:
            raise FormatError(f"two tensors are named {name!r}", offset=fields.at)
        names[name] = None
        previous = name.encode()
    return list(names)
