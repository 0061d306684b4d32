r"""Models <-> `.sqz` files.

Numbers are little-endian. docs/format.md specifies every field, for readers in other languages.

    bytes       content
    8           magic: 0x89 "sqz" CR LF 0x1A LF
    1           format version: 1
    1           compression of the header: 0 none, 1 raw deflate
    4           bytes of the header as stored
    4           bytes of the header uncompressed
    4           CRC-32 of the header as stored
    ...         header: architecture, preprocessing, a record for each tensor
    ...         class names, compressed, or nothing
    per tensor  payload: values, exponents of rows, columns and coefficients, coded symbols; then 4 bytes, its CRC-32
    4           CRC-32 of all bytes before

Payloads follow each other in the order of their records. The header implies the length of the file. There are no
offsets, so sections cannot overlap, leave a gap or reach beyond the end.
"""

from __future__ import annotations

import hashlib
import math
import mmap
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from compress.codecs import CODECS
from compress.codecs.primitives.error_offsets import offset_by
from compress.codecs.protocol import Codec
from compress.container.class_names import EncodedNames, decode_class_names, encode_class_names
from compress.container.header import FileHeader
from compress.container.layout import Layout, tensor_layout
from compress.container.payload import decode_tensor, encode_tensor
from compress.container.prefix import Bytes, header_to_bytes, read_header
from compress.container.tensor_record import TensorRecord
from compress.errors import ConfigError, FormatError, format_errors_of, nearest
from compress.model import Model
from compress.runtime.atomic_files import write_atomically
from compress.runtime.threads import map_on_all_cores
from compress.tensors.forms import Tensor

_CRC = struct.Struct("<I")
_DEFAULT_CODECS = ("huffman", "huffman-runs")


def encode(model: Model, codecs: Sequence[str] = _DEFAULT_CODECS) -> bytes:
    """Return `model` as the content of a `.sqz` file; the same model gives the same bytes.

    Args:
        model: every value finite.
        codecs: names in `CODECS`; each tensor takes the one with the fewest bytes, the first where equal.
    Raises:
        ConfigError: a codec is unknown, or there is none.
        PassError: a value is not finite, or a pruned weight is minus zero.
        DataError: there is not one label for each class, or a label has a line break.
        SqueezeError: a number is larger than the format allows.
    """
    allowed = _codecs_named(codecs)
    names = encode_class_names(model.labels, model.classes)
    encoded = map_on_all_cores(
        lambda item: encode_tensor(*item, allowed),
        list(model.tensors.items()),
        [math.prod(tensor.shape) for tensor in model.tensors.values()],
    )
    header = FileHeader(
        model.architecture,
        model.classes,
        model.preprocessing,
        names.coding,
        len(names.stored),
        names.plain_bytes,
        tuple(record for record, _ in encoded),
    )
    sections = [header_to_bytes(header), names.stored]
    sections += [payload + _CRC.pack(zlib.crc32(payload)) for _, payload in encoded]
    body = b"".join(sections)
    return body + _CRC.pack(zlib.crc32(body))


def decode(data: bytes, max_weights: int | None = None) -> Model:
    """Return the model of a file, equal in every bit to the encoded one.

    Args:
        data: content of a `.sqz` file.
        max_weights: limit of the weights of all tensors together; None: 1,024 for each byte of the file, but at least
            2 ** 24 and at most 2 ** 28.
    Raises:
        FormatError: the file is damaged, cut off, beyond the limit, of another version or not a `.sqz` file.
    """
    header, labels_start = read_header(data, max_weights)
    _check_file_crc(data)
    names = EncodedNames(
        header.label_coding, data[labels_start : labels_start + header.label_bytes], header.label_plain_bytes
    )
    with offset_by(labels_start, "labels"):
        labels = decode_class_names(names, header.classes)
    records = list(_records(header, labels_start))
    weights = [record.weights for record, _ in records]
    decoded = map_on_all_cores(lambda record: _read_tensor(data, *record), records, weights)
    tensors = {record.name: tensor for record, tensor in zip(header.tensors, decoded, strict=True)}
    return Model(header.architecture, header.classes, header.preprocessing, tensors, labels)


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


def read_tensor(source: Path | str | bytes, name: str, max_weights: int | None = None) -> Tensor:
    """Return one tensor, verified by its own checksum, without reading the others.

    Args:
        source: path of a `.sqz` file, or its content.
        name: of the tensor.
        max_weights: as `decode`.
    Raises:
        OSError: the file cannot be read.
        FormatError: as `decode`, of the header and this tensor.
        KeyError: the file has no tensor of this name.
    """
    if isinstance(source, bytes):
        return _find_tensor(source, name, max_weights)
    with format_errors_of(source), Path(source).open("rb") as stream:
        if not stream.seek(0, 2):
            return _find_tensor(b"", name, max_weights)  # an empty file cannot be mapped
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _find_tensor(data, name, max_weights)


def layout(data: bytes, max_weights: int | None = None) -> Layout:
    """Return the byte counts of a file's sections; they sum to `len(data)`.

    Raises:
        FormatError: as `decode`, except that class names, values and exponents are not checked.
    """
    header, labels_start = read_header(data, max_weights)
    _check_file_crc(data)
    tensors = []
    for record, start in _records(header, labels_start):
        payload = _read_payload(data, record, start)
        with offset_by(start, f"tensor {record.name}"):
            tensors.append(tensor_layout(record, payload))
    payload_bytes = sum(record.payload_bytes for record in header.tensors)
    return Layout(len(data) - header.label_bytes - payload_bytes, header.label_bytes, tuple(tensors))


def weights_sha256(model: Model) -> str:
    """Return the SHA-256 of the dense weights: float32, little-endian, tensors in order, without names."""
    digest = hashlib.sha256()
    for tensor in model.tensors.values():
        digest.update(tensor.to_dense().astype("<f4").tobytes())
    return digest.hexdigest()


def _codecs_named(names: Sequence[str]) -> list[Codec]:
    for name in names:
        if name not in CODECS:
            raise ConfigError(f"codec {name!r} is not known{nearest(name, CODECS)}", allowed=", ".join(CODECS))
    if not names:
        raise ConfigError("no codec to encode with", allowed=", ".join(CODECS))
    return [CODECS[name] for name in names]


def _check_file_crc(data: bytes) -> None:
    (crc,) = _CRC.unpack(data[-_CRC.size :])
    if zlib.crc32(memoryview(data)[: -_CRC.size]) != crc:
        raise FormatError("the file is damaged", offset=len(data) - _CRC.size, expected="its checksum")


def _records(header: FileHeader, labels_start: int) -> Iterator[tuple[TensorRecord, int]]:
    """Yield each record and the offset of its payload."""
    start = labels_start + header.label_bytes
    for record in header.tensors:
        yield record, start
        start += record.payload_bytes + _CRC.size


def _read_payload(data: Bytes, record: TensorRecord, start: int) -> bytes:
    end = start + record.payload_bytes
    payload = data[start:end]
    if _CRC.pack(zlib.crc32(payload)) != data[end : end + _CRC.size]:
        raise FormatError(f"tensor {record.name} is damaged", offset=start, expected="its checksum")
    return payload


def _read_tensor(data: Bytes, record: TensorRecord, start: int) -> Tensor:
    payload = _read_payload(data, record, start)
    with offset_by(start, f"tensor {record.name}"):
        return decode_tensor(record, payload)


def _find_tensor(data: Bytes, name: str, max_weights: int | None) -> Tensor:
    header, labels_start = read_header(data, max_weights)
    for record, start in _records(header, labels_start):
        if record.name == name:
            return _read_tensor(data, record, start)
    names = (record.name for record in header.tensors)
    raise KeyError(f"{name!r} is not a tensor of the file{nearest(name, names)}")
