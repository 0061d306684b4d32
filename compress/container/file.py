"""Models <-> `.sqz` files. docs/format.md specifies every byte.

A file is a prefix with the header, class names, a payload and its CRC-32 for each tensor, and a CRC-32 of all bytes
before. The header implies the length of the file. There are no offsets, so sections cannot overlap, leave a gap or
reach beyond the end.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from compress.codecs import CODECS, WRITERS
from compress.codecs.protocol import Codec
from compress.container.class_names import decode_class_names, encode_class_names
from compress.container.header import FileHeader
from compress.container.layout import Layout, tensor_layout
from compress.container.payload import decode_tensor, encode_tensor
from compress.container.prefix import CRC, MAX_WEIGHTS, header_to_bytes, read_header
from compress.container.tensor_record import TensorRecord
from compress.errors import ConfigError, FormatError, format_errors_of, nearest, offset_by
from compress.model import Model
from compress.runtime.atomic_files import write_atomically
from compress.runtime.threads import map_on_all_cores

_Result = TypeVar("_Result")
_DEFAULT_CODECS = ("huffman", "huffman-runs")


def encode(model: Model, codecs: Sequence[str] = _DEFAULT_CODECS) -> bytes:
    """Return `model` as the content of a `.sqz` file; the same model gives the same bytes.

    Each tensor takes the codec of `codecs` with the fewest bytes, the first where equal.

    Raises:
        ConfigError: a codec is unknown, or there is none.
        PassError: a value is not finite, or a pruned weight is minus zero.
        DataError: there is not one label for each class, or a label has a line break.
        SqueezeError: a number is larger than the format allows.
    """
    allowed = _codecs_named(codecs)
    label_coding, labels, label_plain_bytes = encode_class_names(model.labels, model.classes)
    encoded = map_on_all_cores(
        lambda item: encode_tensor(*item, allowed),
        list(model.tensors.items()),
        [math.prod(tensor.shape) for tensor in model.tensors.values()],
    )
    network = model.architecture, model.classes, model.preprocessing
    records = tuple(record for record, _ in encoded)
    header = FileHeader(*network, label_coding, len(labels), label_plain_bytes, records, model.program)
    sections = [header_to_bytes(header), labels]
    sections += [payload + CRC.pack(zlib.crc32(payload)) for _, payload in encoded]
    body = b"".join(sections)
    return body + CRC.pack(zlib.crc32(body))


def decode(data: bytes, max_weights: int | None = None) -> Model:
    """Return the model of a file, equal in every bit to the encoded one.

    `max_weights` limits the weights of all tensors together; None: 1,024 a byte, from 2 ** 24 to 2 ** 28.

    Raises:
        FormatError: the file is damaged, cut off, beyond the limit, of another version or not a `.sqz` file.
    """
    header, start = read_header(data, max_weights)
    stored = data[start : start + header.label_bytes]
    with offset_by(start, "labels"):
        labels = decode_class_names(stored, header.label_coding, header.label_plain_bytes, header.classes)
    weights = [record.weights for record in header.tensors]
    decoded = map_on_all_cores(lambda item: _read_payload(decode_tensor, data, *item), _records(header, start), weights)
    tensors = {record.name: tensor for record, tensor in zip(header.tensors, decoded, strict=True)}
    return Model(header.architecture, header.classes, header.preprocessing, tensors, labels, header.program)


def with_labels(data: bytes, labels: tuple[str, ...]) -> bytes:
    """Return a file with other class names, or with none, and the same payloads.

    Raises:
        FormatError: as `layout`.
        DataError: as `encode`.
    """
    header, start = read_header(data, MAX_WEIGHTS)
    coding, stored, plain_bytes = encode_class_names(labels, header.classes)
    changed = replace(header, label_coding=coding, label_bytes=len(stored), label_plain_bytes=plain_bytes)
    body = header_to_bytes(changed) + stored + data[start + header.label_bytes : -CRC.size]
    return body + CRC.pack(zlib.crc32(body))


def write(path: Path | str, model: Model, codecs: Sequence[str] = _DEFAULT_CODECS) -> int:
    """Write `model` to `path`, completely or not at all, and return the bytes of the file.

    Raises:
        OSError: the file cannot be written.
        SqueezeError: as `encode`.
    """
    data = encode(model, codecs)
    write_atomically(Path(path), data)
    return len(data)


def read(path: Path | str, max_weights: int | None = None) -> Model:
    """Return the model in the file at `path`.

    Raises:
        OSError: the file cannot be read.
        FormatError: as `decode`.
    """
    with format_errors_of(path):
        return decode(Path(path).read_bytes(), max_weights)


def layout(data: bytes, max_weights: int | None = None, model: Model | None = None) -> Layout:
    """Return the byte counts of a file's sections; they sum to `len(data)`.

    Args:
        data: the file.
        max_weights: as in `decode`.
        model: what `decode` returned of the file; None: the symbols are decoded here.
    Raises:
        FormatError: as `decode`, except that class names, values and exponents are not checked.
    """
    header, start = read_header(data, max_weights)
    decoded = model.tensors if model else {}
    tensors = tuple(
        _read_payload(partial(tensor_layout, tensor=decoded.get(record.name)), data, record, at)
        for record, at in _records(header, start)
    )
    payload_bytes = sum(record.payload_bytes for record in header.tensors)
    return Layout(len(data) - header.label_bytes - payload_bytes, header.label_bytes, tensors)


def weights_sha256(model: Model) -> str:
    """Return the SHA-256 of the dense weights: float32, little-endian, tensors in order, without names."""
    digest = hashlib.sha256()
    for tensor in model.tensors.values():
        digest.update(np.ascontiguousarray(tensor.to_dense(), "<f4").data)
    return digest.hexdigest()


def _codecs_named(names: Sequence[str]) -> list[Codec]:
    for name in names:
        if name not in WRITERS:
            raise ConfigError(f"codec {name!r} is not known{nearest(name, WRITERS)}", allowed=", ".join(CODECS))
    if not names:
        raise ConfigError("no codec to encode with", allowed=", ".join(CODECS))
    return [WRITERS[name] for name in names]


def _records(header: FileHeader, start: int) -> list[tuple[TensorRecord, int]]:
    """Return each record and the offset of its payload; the class names begin at `start`."""
    lengths = (record.payload_bytes + CRC.size for record in header.tensors)
    starts = itertools.accumulate(lengths, initial=start + header.label_bytes)
    return list(zip(header.tensors, starts, strict=False))  # the last start is that of the file's checksum


def _read_payload(
    read_as: Callable[[TensorRecord, bytes], _Result], data: bytes, record: TensorRecord, start: int
) -> _Result:
    """Return what `read_as` makes of a record and its payload, after a check of its checksum."""
    end = start + record.payload_bytes
    payload = data[start:end]
    if CRC.pack(zlib.crc32(payload)) != data[end : end + CRC.size]:
        raise FormatError(f"tensor {record.name} is damaged", offset=start, expected="its checksum")
    with offset_by(start, f"tensor {record.name}"):
        return read_as(record, payload)
