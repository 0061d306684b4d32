"""TODO."""

from __future__ import annotations

import hashlib
import math
import mmap
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from compress.codecs import CODECS
from compress.codecs.base import Codec
from compress.codecs.primitives.error_offsets import offset_by
from compress.container.compression import DEFLATE, LZMA, STORED, compress, decompress
from compress.container.header import Header
from compress.container.layout import Layout, tensor_layout
from compress.container.payload import decode_tensor, encode_tensor
from compress.container.tensor_record import TensorHeader
from compress.errors import ConfigError, DataError, FormatError, format_errors_of, nearest
from compress.model import Model
from compress.runtime.atomic_files import write_atomically
from compress.runtime.threads import on_all_cores
from compress.tensors.forms import Tensor

MAGIC = b"\x89SQZ\r\n\x1a\n"

VERSION = 1

MAX_WEIGHTS = 1 << 28
"""Weights that `decode` and the others agree to decode at most, unless told otherwise: a gigabyte as float32."""

MAX_EXPANSION = 1024
"""Weights that they agree to decode for each byte of a file, unless told otherwise or no more than `FREE_WEIGHTS`."""

FREE_WEIGHTS = 1 << 24
"""Weights that a file of any size may have: 64 megabytes as float32."""

_PREFIX = struct.Struct("<8sBBIII")

_CRC = struct.Struct("<I")

_MOST_HEADER_BYTES = 1 << 24

_MOST_LABEL_BYTES = 1 << 24

Bytes = bytes | mmap.mmap


def encode(model: Model, codecs: Sequence[str] = ("huffman", "huffman-runs")) -> bytes:
    """Return `model` as the content of a `.sqz` file; the same model gives the same bytes.

    Args:
        model: every value finite.
        codecs: names in `CODECS`; for each tensor the one with the fewest bytes is taken, the first where equal.
    Raises:
        ConfigError: a codec is not known, or there is none.
        PassError: a value is not finite, or a pruned weight is minus zero.
        DataError: labels are not one line for each class.
        SqueezeError: a number is beyond what the format holds.
    """
    chosen = _codecs_named(codecs)
    coding, labels, plain_bytes = _encode_labels(model)
    encoded = on_all_cores(
        lambda item: encode_tensor(*item, chosen),
        list(model.tensors.items()),
        [math.prod(tensor.shape) for tensor in model.tensors.values()],
    )
    records = tuple(record for record, _ in encoded)
    plain = Header(
        model.architecture, model.classes, model.preprocessing, coding, len(labels), plain_bytes, records
    ).to_bytes()
    header_coding, header = compress(plain, (STORED, DEFLATE))
    parts = [
        _PREFIX.pack(MAGIC, VERSION, header_coding, len(header), len(plain), zlib.crc32(header)),
        header,
        labels,
    ]
    for _, payload in encoded:
        parts += [payload, _CRC.pack(zlib.crc32(payload))]
    body = b"".join(parts)
    return body + _CRC.pack(zlib.crc32(body))


def decode(data: bytes, max_weights: int | None = None) -> Model:
    """Return the model in `data`, the same in every bit as the one encoded.

    Args:
        data: content of a `.sqz` file.
        max_weights: most weights, all tensors together, to decode; None for what fits the file's size: 1,024 for each
            of its bytes, but no fewer than 2^24 and no more than 2^28.
    Raises:
        FormatError: the file is damaged, cut off, too large, of a newer version or no `.sqz` file.
    """
    header, labels_at = _read_header(data, max_weights)
    _check_whole(data)
    labels = _decode_labels(data, header, labels_at)
    places = list(_places(header, labels_at))
    decoded = on_all_cores(lambda place: _tensor_at(data, *place), places, [record.weights for record, _ in places])
    tensors = {record.name: tensor for (record, _), tensor in zip(places, decoded, strict=True)}
    return Model(header.architecture, header.classes, header.preprocessing, tensors, labels)


def write(path: Path | str, model: Model, codecs: Sequence[str] = ("huffman", "huffman-runs")) -> int:
    """Write `model` to `path`, whole or not at all, and return the file's bytes.

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
    """Return one tensor, checked by its own checksum, without reading or decoding the others.

    Args:
        source: path of a `.sqz` file, or its content.
        name: the tensor's name.
        max_weights: as `decode`.
    Raises:
        OSError: the file cannot be read.
        FormatError: as `decode`, of the header and this tensor.
        KeyError: the file has no tensor of this name.
    """
    if isinstance(source, bytes):
        return _tensor_named(source, name, max_weights)
    with format_errors_of(source), Path(source).open("rb") as stream:
        if not stream.seek(0, 2):
            return _tensor_named(b"", name, max_weights)  # an empty file cannot be mapped
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _tensor_named(data, name, max_weights)


def layout(data: bytes, max_weights: int | None = None) -> Layout:
    """Return where the bytes of a file go; the parts sum to `len(data)`.

    Raises:
        FormatError: as `decode`; but class names, values and scales are not looked at.
    """
    header, labels_at = _read_header(data, max_weights)
    _check_whole(data)
    tensors = []
    for record, at in _places(header, labels_at):
        payload = _payload_at(data, record, at)
        with offset_by(at, f"tensor {record.name}"):
            tensors.append(tensor_layout(record, payload))
    payload_bytes = sum(record.payload_bytes for record in header.tensors)
    return Layout(len(data) - header.label_bytes - payload_bytes, header.label_bytes, tuple(tensors))


def weights_sha256(model: Model) -> str:
    """Return the SHA-256 of the model's dense weights: float32, little-endian, tensors in order, names not."""
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


def _read_header(data: Bytes, max_weights: int | None) -> tuple[Header, int]:
    """Return the header, and the byte after it, where the labels are. The file's length fits the header then."""
    start = data[: _PREFIX.size]
    if start[:8] != MAGIC[: len(start)]:
        damaged = "; its line ends were changed as if it were text" if start[:4] == MAGIC[:4] else ""
        raise FormatError(f"not a .sqz file{damaged}", offset=0, expected="the .sqz magic bytes")
    if len(start) < _PREFIX.size:
        raise FormatError("the file is cut off", offset=len(data), expected=f"at least {_PREFIX.size} bytes")
    _, version, coding, stored_bytes, plain_bytes, crc = _PREFIX.unpack(start)
    if version != VERSION:
        raise FormatError(
            f"format version {version} is unknown; a newer squeeze-compress may read it",
            offset=8,
            expected=f"version {VERSION}",
        )
    end = _PREFIX.size + stored_bytes
    stored = data[_PREFIX.size : end]
    if len(stored) < stored_bytes:
        raise FormatError("the file is cut off within the header", offset=len(data), expected=f"{end:,} bytes")
    if zlib.crc32(stored) != crc:
        raise FormatError("the header is damaged", offset=_PREFIX.size, expected="its checksum")
    if plain_bytes > _MOST_HEADER_BYTES:
        raise FormatError(f"a header of {plain_bytes:,} bytes", offset=14, expected=f"at most {_MOST_HEADER_BYTES:,}")
    if max_weights is None:
        max_weights = min(MAX_WEIGHTS, max(FREE_WEIGHTS, MAX_EXPANSION * len(data)))
    with offset_by(_PREFIX.size, "header"):
        header = Header.from_bytes(decompress(stored, coding, plain_bytes), max_weights)
    expected = end + header.label_bytes + sum(record.payload_bytes + 4 for record in header.tensors) + 4
    if len(data) != expected:
        problem = "the file is cut off" if len(data) < expected else "bytes are left over after the last checksum"
        raise FormatError(problem, offset=min(len(data), expected), expected=f"{expected:,} bytes")
    return header, end


def _check_whole(data: bytes) -> None:
    (crc,) = _CRC.unpack(data[-4:])
    if zlib.crc32(memoryview(data)[:-4]) != crc:
        raise FormatError("the file is damaged", offset=len(data) - 4, expected="its checksum")


def _places(header: Header, labels_at: int) -> Iterator[tuple[TensorHeader, int]]:
    at = labels_at + header.label_bytes
    for record in header.tensors:
        yield record, at
        at += record.payload_bytes + 4


def _payload_at(data: Bytes, record: TensorHeader, at: int) -> bytes:
    end = at + record.payload_bytes
    payload = data[at:end]
    if _CRC.pack(zlib.crc32(payload)) != data[end : end + 4]:
        raise FormatError(f"tensor {record.name} is damaged", offset=at, expected="its checksum")
    return payload


def _tensor_at(data: Bytes, record: TensorHeader, at: int) -> Tensor:
    payload = _payload_at(data, record, at)
    with offset_by(at, f"tensor {record.name}"):
        return decode_tensor(record, payload)


def _tensor_named(data: Bytes, name: str, max_weights: int | None) -> Tensor:
    header, labels_at = _read_header(data, max_weights)
    for record, at in _places(header, labels_at):
        if record.name == name:
            return _tensor_at(data, record, at)
    raise KeyError(f"{name!r} is no tensor of the file{nearest(name, (record.name for record in header.tensors))}")


def _encode_labels(model: Model) -> tuple[int, bytes, int]:
    """Return how the labels are compressed, their bytes, and their bytes before that."""
    if model.labels and len(model.labels) != model.classes:
        raise DataError(f"{len(model.labels):,} labels for {model.classes:,} classes (allowed: one each, or none)")
    if bad := [label for label in model.labels if "\n" in label]:
        raise DataError(f"label {bad[0]!r} has a line break in it; class names are one line each")
    plain = "".join(f"{label}\n" for label in model.labels).encode()
    if len(plain) > _MOST_LABEL_BYTES:
        raise DataError(f"labels of {len(plain):,} bytes (allowed: up to {_MOST_LABEL_BYTES:,})")
    coding, stored = compress(plain, (STORED, DEFLATE, LZMA))
    return coding, stored, len(plain)


def _decode_labels(data: bytes, header: Header, at: int) -> tuple[str, ...]:
    with offset_by(at, "labels"):
        if header.label_plain_bytes > _MOST_LABEL_BYTES:
            raise FormatError(f"{header.label_plain_bytes:,} bytes", expected=f"at most {_MOST_LABEL_BYTES:,}")
        stored = data[at : at + header.label_bytes]
        plain = decompress(stored, header.label_coding, header.label_plain_bytes)
        try:
            labels = tuple(plain.decode().split("\n"))
        except UnicodeDecodeError as error:
            raise FormatError("a text is not UTF-8") from error
        if plain and (labels[-1] != "" or len(labels) - 1 != header.classes):
            raise FormatError(f"{len(labels) - 1:,} of them", expected=f"{header.classes:,}, each ending its line")
    return labels[:-1]
