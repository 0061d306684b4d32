"""Mutations of a good file for fuzzing: changed bytes, or changed fields and sections with correct checksums."""

from __future__ import annotations

import dataclasses
import functools
import random
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.fuzz_streams import coded_by_chance
from compress.codecs import CODECS
from compress.codecs.primitives.varint import encode_varint
from compress.container.header import FileHeader
from compress.container.prefix import MAGIC, PREFIX, VERSION
from compress.container.scan_order import SCAN_ORDERS, scan_orders, to_scan_order
from compress.container.tensor_record import TensorRecord
from compress.errors import SqueezeError

_NUMBERS = (0, 1, 2, 3, 127, 128, 255, 256, 4096, 4097, 65535, 65536, 1 << 24, 1 << 28, (1 << 31) - 1, 1 << 32,
            (1 << 63) - 1)  # fmt: skip
_FLOAT16_BITS = (0, 1, 0x3FF, 0x400, 0x3C00, 0x7BFF, 0x7C00, 0x7C01)
_FLOAT32_BITS = (0, 1, 0x7FFFFF, 0x800000, 0x3F800000, 0x5F7FFFFF, 0x7F7FFFFF, 0x7F800000, 0x7F800001)
_NAMES = ("", "a", "ab", "b", "ä", "äb", "€", "\U0001f600")
_INVALID_UTF8 = (b"\xc1\xbf", b"\xc3\xc3", b"\xe0\x9f\xbf", b"\xed\xa0\x80", b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80",
            b"\xf5\x80\x80\x80", b"\xed\x9f\xbf", b"\xf4\x8f\xbf\xbf")  # fmt: skip  # the last two are valid
_BYTES = (0, 1, 2, 0x3F, 0x40, 0x7E, 0x7F, 0x80, 0x81, 0xFE, 0xFF)
_CHOICES: Mapping[str, Sequence[object]] = {
    "form": ("dense", "pruned", "shared"),
    "stored_as": ("float16", "float32"),
    "codec": (None, *CODECS.values()),
    "scan_order": SCAN_ORDERS,
    "levels": (False, True),
}


@dataclass(frozen=True)
class FileParts:
    """A good file, split into its parts."""

    header: FileHeader
    labels: bytes
    payloads: tuple[bytes, ...]

    def tensor(self, rng: random.Random) -> tuple[int, TensorRecord, bytes]:
        """Return the index, the record and the payload of a tensor."""
        index = rng.randrange(len(self.payloads))
        return index, self.header.tensors[index], self.payloads[index]


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """Return the bytes after one to eight changes: a flipped bit, or bytes set, inserted, deleted or copied."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        if not changed:
            break
        at = rng.randrange(len(changed))
        length = min(rng.choice((1, 1, 2, 4, 16)), len(changed) - at)
        match rng.randrange(8):
            case 0 | 1:
                changed[at] ^= 1 << rng.randrange(8)
            case 2:
                changed[at] = rng.choice(_BYTES)
            case 3:
                changed[at:at] = rng.randbytes(length)
            case 4:
                del changed[at : at + length]
            case 5:
                source = rng.randrange(len(changed))
                changed[at : at + length] = changed[source : source + length]
            case 6:
                changed[at:at] = encode_varint(rng.choice(_NUMBERS))
            case _:  # a varint with more bytes than it needs
                changed[at : at + 1] = bytes([changed[at] | 0x80, *rng.choice(((), (0x80,))), 0])
    return bytes(changed)


@functools.cache
def _parts(data: bytes) -> FileParts:
    _, _, coding, stored_bytes, _, _ = PREFIX.unpack(data[: PREFIX.size])
    at = PREFIX.size + stored_bytes
    stored = data[PREFIX.size : at]
    header = FileHeader.from_bytes(zlib.decompress(stored, -15) if coding else stored, 1 << 20)
    labels = data[at : at + header.label_bytes]
    at += header.label_bytes
    payloads = []
    for record in header.tensors:
        payloads.append(data[at : at + record.payload_bytes])
        at += record.payload_bytes + 4
    return FileParts(header, labels, tuple(payloads))


def _sealed(header: bytes, labels: bytes, payloads: tuple[bytes, ...], rng: random.Random) -> bytes:
    """Return a file of these parts with correct checksums."""
    if rng.random() < 0.5:
        return _with_header(header, 1, _deflated(header, rng, (0, 1, 9)), labels, payloads)
    return _with_header(header, 0, header, labels, payloads)


def _deflated(plain: bytes, rng: random.Random, levels: Sequence[int]) -> bytes:
    deflater = zlib.compressobj(rng.choice(levels), zlib.DEFLATED, -15, strategy=rng.choice((0, 4)))
    return deflater.compress(plain) + deflater.flush()


def _with_header(header: bytes, coding: int, stored: bytes, labels: bytes, payloads: tuple[bytes, ...]) -> bytes:
    """Return a file whose header is stored in these bytes."""
    data = PREFIX.pack(MAGIC, VERSION, coding, len(stored), len(header), zlib.crc32(stored)) + stored + labels
    data += b"".join(payload + zlib.crc32(payload).to_bytes(4, "little") for payload in payloads)
    return data + zlib.crc32(data).to_bytes(4, "little")


def _mutate_header(data: bytes, rng: random.Random) -> bytes:
    parts = _parts(data)
    return _sealed(mutate_bytes(parts.header.to_bytes(), rng), parts.labels, parts.payloads, rng)


def _mutate_record(data: bytes, rng: random.Random) -> bytes:
    """Change a field of a record. The payload stays, or gets the length that the record says."""
    parts = _parts(data)
    index, record, payload = parts.tensor(rng)
    record = _mutate_fields(record, rng)
    if rng.random() < 0.5 and record.payload_bytes < 1 << 16:
        payload = payload[: record.payload_bytes].ljust(record.payload_bytes, b"\0")
    try:
        return _reassemble(parts, index, record, payload, rng)
    except SqueezeError:  # a number that the field cannot hold
        return data


def _mutate_fields(record: TensorRecord, rng: random.Random) -> TensorRecord:
    name = rng.choice([field.name for field in dataclasses.fields(record) if field.name != "name"])
    if name in _CHOICES:
        return replace(record, **{name: rng.choice(_CHOICES[name])})  # type: ignore[arg-type]
    if name == "shape":
        shape = list(record.shape)
        match rng.randrange(4):
            case 0:
                shape.insert(rng.randint(0, len(shape)), rng.choice((0, 1, 1, 2)))
            case 1:
                rng.shuffle(shape)
            case _:
                shape = [rng.choice((extent, extent, 0, 1, extent + 1, *_NUMBERS)) for extent in shape]
        return replace(record, shape=tuple(shape))
    if name == "exponent_bytes":
        lengths = list(record.exponent_bytes)
        kind = rng.randrange(len(lengths))
        lengths[kind] = _changed_length(lengths[kind], rng)
        return replace(record, exponent_bytes=tuple(lengths))
    number = _changed_length(getattr(record, name), rng)
    return replace(record, **{name: number if number is not None or name == "coded_value_bytes" else 0})  # type: ignore[arg-type]


def _changed_length(length: int | None, rng: random.Random) -> int | None:
    near = max(0, (length or 0) + rng.choice((-2, -1, 1, 2)))
    return rng.choice((near, near, None, rng.choice(_NUMBERS)))


def _mutate_payload(data: bytes, rng: random.Random) -> bytes:
    """Change bytes of a payload, and the length of the symbols in the record if the payload's length changes."""
    parts = _parts(data)
    index, record, payload = parts.tensor(rng)
    payload = mutate_bytes(payload, rng)
    if record.codec is not None:
        grown = len(payload) - record.payload_bytes
        record = replace(record, symbol_bytes=max(0, record.symbol_bytes + grown))
    return _reassemble(parts, index, record, payload, rng)


def _splice_payload(data: bytes, rng: random.Random) -> bytes:
    """Replace the symbols of one tensor by those of another."""
    parts = _parts(data)
    (index, record, payload), (_, other, source) = parts.tensor(rng), parts.tensor(rng)
    if record.codec is None or other.codec is None:
        return _mutate_payload(data, rng)
    head, coded = payload[: len(payload) - record.symbol_bytes], source[len(source) - other.symbol_bytes :]
    if rng.random() < 0.5:
        coded = mutate_bytes(coded, rng)
    record = replace(record, symbol_bytes=len(coded), codec=other.codec)
    return _reassemble(parts, index, record, head + coded, rng)


def _mutate_labels(data: bytes, rng: random.Random) -> bytes:
    parts = _parts(data)
    if rng.random() < 0.4:
        return _replace_labels(parts, rng)
    labels = mutate_bytes(parts.labels, rng)
    fields = {"label_bytes": len(labels)}
    if rng.random() < 0.3:
        fields |= {"label_coding": rng.randrange(4)}
    if rng.random() < 0.3:
        fields |= {"label_plain_bytes": rng.choice(_NUMBERS)}
    return _sealed(replace(parts.header, **fields).to_bytes(), labels, parts.payloads, rng)  # type: ignore[arg-type]


def _replace_labels(parts: FileParts, rng: random.Random) -> bytes:
    """Replace the class names by short ones; mostly one line for each class."""
    lines = ["".join(rng.choice("ab ä€\r") for _ in range(rng.randrange(4))) for _ in range(parts.header.classes)]
    plain = "\n".join(lines).encode() + rng.choice((b"\n", b"\n", b"", b"\nx", b"\n\n", b"\xc3\n"))
    if rng.random() < 0.2:
        plain = mutate_bytes(plain, rng)
    labels, coding = rng.choice(((plain, 0), (_deflated(plain, rng, (0, 9)), 1)))
    header = replace(parts.header, label_coding=coding, label_bytes=len(labels), label_plain_bytes=len(plain))
    return _sealed(header.to_bytes(), labels, parts.payloads, rng)


def _mutate_deflate(data: bytes, rng: random.Random) -> bytes:
    """Change bytes of the compressed header."""
    parts = _parts(data)
    plain = parts.header.to_bytes()
    return _with_header(plain, 1, mutate_bytes(_deflated(plain, rng, (0, 9)), rng), parts.labels, parts.payloads)


def _reassemble(parts: FileParts, index: int, record: TensorRecord, payload: bytes, rng: random.Random) -> bytes:
    records = (*parts.header.tensors[:index], record, *parts.header.tensors[index + 1 :])
    payloads = (*parts.payloads[:index], payload, *parts.payloads[index + 1 :])
    return _sealed(replace(parts.header, tensors=records).to_bytes(), parts.labels, payloads, rng)


def _replace_names(data: bytes, rng: random.Random) -> bytes:
    """Replace names by equal names, names with a common prefix, or invalid UTF-8."""
    parts = _parts(data)
    names = [rng.choice((*_NAMES, tensor.name)) for tensor in parts.header.tensors]
    if rng.random() < 0.7:  # mostly distinct, so that some files are valid
        names = [f"{name}{rng.choice(('', number))}" for number, name in enumerate(names)]
    records = tuple(replace(record, name=name) for record, name in zip(parts.header.tensors, names, strict=True))
    header = replace(parts.header, tensors=records).to_bytes()
    if rng.random() < 0.3:
        bad = rng.choice(_INVALID_UTF8)
        good = {2: "ä", 3: "€", 4: "\U0001f600"}[len(bad)].encode()
        header = header.replace(good, bad)
    return _sealed(header, parts.labels, parts.payloads, rng)


def _replace_values(data: bytes, rng: random.Random) -> bytes:
    """Replace a plain value by a float at the end of its range."""
    parts = _parts(data)
    index, record, payload = parts.tensor(rng)
    width = 2 if record.stored_as == "float16" else 4
    if record.coded_value_bytes is not None or record.value_bytes < width:
        return _mutate_payload(data, rng)
    at = width * rng.randrange(record.value_bytes // width)
    bits = rng.choice(_FLOAT16_BITS if width == 2 else _FLOAT32_BITS) | rng.randrange(2) << (8 * width - 1)
    payload = payload[:at] + bits.to_bytes(width, "little") + payload[at + width :]
    return _reassemble(parts, index, record, payload, rng)


def _replace_exponents(data: bytes, rng: random.Random) -> bytes:
    """Replace row exponents by ones up to the ends of their range and beyond, in either codec and either form."""
    parts = _parts(data)
    scaled = [number for number, tensor in enumerate(parts.header.tensors) if tensor.exponent_bytes[0] is not None]
    if not scaled:
        return _replace_values(data, rng)
    index = rng.choice(scaled)
    record, payload = parts.header.tensors[index], parts.payloads[index]
    ends = (-128, 127, rng.choice((-129, -1, 0, 1, 128)), rng.randrange(-3, 3))
    wide = np.array([rng.choice(ends) for _ in range(record.shape[0])], dtype=np.int64)
    codec = CODECS[rng.choice(("raw", "huffman"))]
    if rng.random() < 0.5:
        smallest = rng.randrange(-128, max(-128, min(127, int(wide.min(initial=127)))) + 1)
        rows = bytes([codec.id, smallest & 255]) + codec.encode((wide - smallest).clip(0).astype(np.uint16))
    else:
        steps = np.diff(wide, prepend=0)
        rows = bytes([codec.id | 128]) + codec.encode(np.where(steps < 0, -2 * steps - 1, 2 * steps).astype(np.uint16))
    start = record.value_bytes
    if record.stored_as == "float32" and start >= 4 and rng.random() < 0.5:  # the largest finite number
        payload = b"\xff\xff\x7f\x7f" + payload[4:]
    payload = payload[:start] + rows + payload[start + (record.exponent_bytes[0] or 0) :]
    record = replace(record, exponent_bytes=(len(rows), *record.exponent_bytes[1:]))
    return _reassemble(parts, index, record, payload, rng)


def _replace_symbols(data: bytes, rng: random.Random) -> bytes:
    """Replace the symbols by a valid stream of any codec and scan order; some symbols are out of range."""
    parts = _parts(data)
    index, record, payload = parts.tensor(rng)
    if record.codec is None:
        return _replace_values(data, rng)
    largest = 1 if record.form == "pruned" else record.value_count
    weights = record.weights
    symbols = np.array([rng.choice((0, 0, 1, rng.randint(0, largest))) for _ in range(weights)], dtype=np.uint16)
    if record.form == "pruned":
        mask = [*[1] * record.value_count, *[0] * weights][:weights]
        symbols[:] = rng.sample(mask, weights)
    if weights and rng.random() < 0.3:
        symbols[rng.randrange(weights)] = rng.choice((0, largest, min(largest + 1, 65535), 65535))
    codec, order = rng.choice(list(CODECS.values())), rng.choice(scan_orders(len(record.shape)))
    coded = coded_by_chance(to_scan_order(symbols.reshape(record.shape), order), codec, rng)
    head = payload[: len(payload) - record.symbol_bytes]
    record = replace(record, codec=codec, scan_order=order, symbol_bytes=len(coded))
    return _reassemble(parts, index, record, head + coded, rng)


MUTATIONS: Mapping[str, Callable[[bytes, random.Random], bytes]] = {
    "header": _mutate_header,
    "record": _mutate_record,
    "payload": _mutate_payload,
    "splice": _splice_payload,
    "labels": _mutate_labels,
    "names": _replace_names,
    "values": _replace_values,
    "exponents": _replace_exponents,
    "symbols": _replace_symbols,
    "deflate": _mutate_deflate,
}
"""Each mutation takes a good file and returns another with correct checksums."""
