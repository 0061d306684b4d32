"""What fuzzing does to a good file: bytes changed, or fields and sections that say something else, checksums right."""

from __future__ import annotations

import dataclasses
import functools
import random
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.fuzz_streams import coded_by_chance
from compress.codecs import CODECS
from compress.codecs.primitives.varint import encode_varint
from compress.container.header import Header
from compress.container.scan_order import ORDERS, in_order, orders_of
from compress.container.tensor_record import TensorHeader
from compress.errors import SqueezeError

_PREFIX = struct.Struct("<8sBBIII")
_NUMBERS = (0, 1, 2, 3, 127, 128, 255, 256, 4096, 4097, 65535, 65536, 1 << 24, 1 << 28, (1 << 31) - 1, 1 << 32,
            (1 << 63) - 1)  # fmt: skip
_FLOAT16_BITS = (0, 1, 0x3FF, 0x400, 0x3C00, 0x7BFF, 0x7C00, 0x7C01)
_FLOAT32_BITS = (0, 1, 0x7FFFFF, 0x800000, 0x3F800000, 0x5F7FFFFF, 0x7F7FFFFF, 0x7F800000, 0x7F800001)
_NAMES = ("", "a", "ab", "b", "ä", "äb", "€", "\U0001f600")
_NO_UTF8 = (b"\xc1\xbf", b"\xc3\xc3", b"\xe0\x9f\xbf", b"\xed\xa0\x80", b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80",
            b"\xf5\x80\x80\x80", b"\xed\x9f\xbf", b"\xf4\x8f\xbf\xbf")  # fmt: skip  # the last two are good
_BYTES = (0, 1, 2, 0x3F, 0x40, 0x7E, 0x7F, 0x80, 0x81, 0xFE, 0xFF)
_CHOICES: Mapping[str, Sequence[object]] = {
    "form": ("dense", "pruned", "shared"),
    "stored_as": ("float16", "float32"),
    "codec": (None, *CODECS.values()),
    "order": ORDERS,
    "levels": (False, True),
}
_OPTIONAL = ("row_bytes", "column_bytes", "coded_value_bytes")


@dataclass(frozen=True)
class Parts:
    """A good file, cut up."""

    header: Header
    labels: bytes
    payloads: tuple[bytes, ...]


def changed_bytes(data: bytes, chance: random.Random) -> bytes:
    """Return the bytes after one change, or a few: flipped, set, put in, left out, moved, cut off."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        if not changed:
            break
        at = chance.randrange(len(changed))
        length = min(chance.choice((1, 1, 2, 4, 16)), len(changed) - at)
        match chance.randrange(8):
            case 0 | 1:
                changed[at] ^= 1 << chance.randrange(8)
            case 2:
                changed[at] = chance.choice(_BYTES)
            case 3:
                changed[at:at] = chance.randbytes(length)
            case 4:
                del changed[at : at + length]
            case 5:
                source = chance.randrange(len(changed))
                changed[at : at + length] = changed[source : source + length]
            case 6:
                changed[at:at] = encode_varint(chance.choice(_NUMBERS))
            case _:  # a number in more bytes than it takes
                changed[at : at + 1] = bytes([changed[at] | 0x80, *chance.choice(((), (0x80,))), 0])
    return bytes(changed)


@functools.cache
def _parts(data: bytes) -> Parts:
    _, _, coding, stored_bytes, _, _ = _PREFIX.unpack(data[: _PREFIX.size])
    at = _PREFIX.size + stored_bytes
    stored = data[_PREFIX.size : at]
    header = Header.from_bytes(zlib.decompress(stored, -15) if coding else stored, 1 << 20)
    labels = data[at : at + header.label_bytes]
    at += header.label_bytes
    payloads = []
    for record in header.tensors:
        payloads.append(data[at : at + record.payload_bytes])
        at += record.payload_bytes + 4
    return Parts(header, labels, tuple(payloads))


def _sealed(header: bytes, labels: bytes, payloads: tuple[bytes, ...], chance: random.Random) -> bytes:
    """Return a file of these parts whose checksums are right."""
    coding, stored = 0, header
    if chance.random() < 0.5:
        deflater = zlib.compressobj(chance.choice((0, 1, 9)), zlib.DEFLATED, -15, strategy=chance.choice((0, 4)))
        coding, stored = 1, deflater.compress(header) + deflater.flush()
    data = _PREFIX.pack(b"\x89SQZ\r\n\x1a\n", 1, coding, len(stored), len(header), zlib.crc32(stored)) + stored + labels
    data += b"".join(payload + zlib.crc32(payload).to_bytes(4, "little") for payload in payloads)
    return data + zlib.crc32(data).to_bytes(4, "little")


def _with_changed_header(data: bytes, chance: random.Random) -> bytes:
    parts = _parts(data)
    return _sealed(changed_bytes(parts.header.to_bytes(), chance), parts.labels, parts.payloads, chance)


def _with_changed_record(data: bytes, chance: random.Random) -> bytes:
    """Another number in a field of a record; the payload stays, or becomes as long as the record says."""
    parts = _parts(data)
    index = chance.randrange(len(parts.payloads))
    record = _changed_record(parts.header.tensors[index], chance)
    payload = parts.payloads[index]
    if chance.random() < 0.5 and record.payload_bytes < 1 << 16:
        payload = payload[: record.payload_bytes].ljust(record.payload_bytes, b"\0")
    try:
        return _put_together(parts, index, record, payload, chance)
    except SqueezeError:  # a number beyond what a field holds
        return data


def _changed_record(record: TensorHeader, chance: random.Random) -> TensorHeader:
    name = chance.choice([field.name for field in dataclasses.fields(record) if field.name != "name"])
    if name in _CHOICES:
        return replace(record, **{name: chance.choice(_CHOICES[name])})  # type: ignore[arg-type]
    if name == "shape":
        shape = list(record.shape)
        match chance.randrange(4):
            case 0:
                shape.insert(chance.randint(0, len(shape)), chance.choice((0, 1, 1, 2)))
            case 1:
                chance.shuffle(shape)
            case _:
                shape = [chance.choice((extent, extent, 0, 1, extent + 1, *_NUMBERS)) for extent in shape]
        return replace(record, shape=tuple(shape))
    number = max(0, (getattr(record, name) or 0) + chance.choice((-2, -1, 1, 2)))
    optional = None if name in _OPTIONAL else number
    changes = {name: chance.choice((number, number, optional, chance.choice(_NUMBERS)))}
    return replace(record, **changes)  # type: ignore[arg-type]


def _with_changed_payload(data: bytes, chance: random.Random) -> bytes:
    """A payload changed within; where that made it longer or shorter, the codec's section is told as much so."""
    parts = _parts(data)
    index = chance.randrange(len(parts.payloads))
    payload = changed_bytes(parts.payloads[index], chance)
    record = parts.header.tensors[index]
    if record.codec is not None:
        grown = len(payload) - record.payload_bytes
        record = replace(record, coded_bytes=max(0, record.coded_bytes + grown))
    return _put_together(parts, index, record, payload, chance)


def _with_spliced_payload(data: bytes, chance: random.Random) -> bytes:
    """The codec's section of one tensor for another."""
    parts = _parts(data)
    index, source = (chance.randrange(len(parts.payloads)) for _ in range(2))
    record, other = parts.header.tensors[index], parts.header.tensors[source]
    if record.codec is None or other.codec is None:
        return _with_changed_payload(data, chance)
    head = parts.payloads[index][: len(parts.payloads[index]) - record.coded_bytes]
    coded = parts.payloads[source][len(parts.payloads[source]) - other.coded_bytes :]
    if chance.random() < 0.5:
        coded = changed_bytes(coded, chance)
    record = replace(record, coded_bytes=len(coded), codec=other.codec)
    return _put_together(parts, index, record, head + coded, chance)


def _with_changed_labels(data: bytes, chance: random.Random) -> bytes:
    parts = _parts(data)
    if chance.random() < 0.4:
        return _with_new_labels(parts, chance)
    labels = changed_bytes(parts.labels, chance)
    fields = {"label_bytes": len(labels)}
    if chance.random() < 0.3:
        fields |= {"label_coding": chance.randrange(4)}
    if chance.random() < 0.3:
        fields |= {"label_plain_bytes": chance.choice(_NUMBERS)}
    return _sealed(replace(parts.header, **fields).to_bytes(), labels, parts.payloads, chance)  # type: ignore[arg-type]


def _with_new_labels(parts: Parts, chance: random.Random) -> bytes:
    """Labels of a few characters, mostly as many as there are classes, and mostly each with its end."""
    lines = ["".join(chance.choice("ab ä€\r") for _ in range(chance.randrange(4))) for _ in range(parts.header.classes)]
    plain = "\n".join(lines).encode() + chance.choice((b"\n", b"\n", b"", b"\nx", b"\n\n", b"\xc3\n"))
    if chance.random() < 0.2:
        plain = changed_bytes(plain, chance)
    deflater = zlib.compressobj(chance.choice((0, 9)), zlib.DEFLATED, -15)
    labels, coding = chance.choice(((plain, 0), (deflater.compress(plain) + deflater.flush(), 1)))
    header = replace(parts.header, label_coding=coding, label_bytes=len(labels), label_plain_bytes=len(plain))
    return _sealed(header.to_bytes(), labels, parts.payloads, chance)


def _with_changed_deflate(data: bytes, chance: random.Random) -> bytes:
    """The header's compressed bytes changed."""
    parts = _parts(data)
    plain = parts.header.to_bytes()
    deflater = zlib.compressobj(chance.choice((0, 9)), zlib.DEFLATED, -15, strategy=chance.choice((0, 4)))
    stored = changed_bytes(deflater.compress(plain) + deflater.flush(), chance)
    whole = _PREFIX.pack(b"\x89SQZ\r\n\x1a\n", 1, 1, len(stored), len(plain), zlib.crc32(stored)) + stored
    whole += parts.labels
    whole += b"".join(payload + zlib.crc32(payload).to_bytes(4, "little") for payload in parts.payloads)
    return whole + zlib.crc32(whole).to_bytes(4, "little")


def _put_together(parts: Parts, index: int, record: TensorHeader, payload: bytes, chance: random.Random) -> bytes:
    records = (*parts.header.tensors[:index], record, *parts.header.tensors[index + 1 :])
    payloads = (*parts.payloads[:index], payload, *parts.payloads[index + 1 :])
    return _sealed(replace(parts.header, tensors=records).to_bytes(), parts.labels, payloads, chance)


def _with_other_names(data: bytes, chance: random.Random) -> bytes:
    """Names that are the same, that begin alike, or are no UTF-8 where they are cut."""
    parts = _parts(data)
    names = [chance.choice((*_NAMES, tensor.name)) for tensor in parts.header.tensors]
    if chance.random() < 0.7:  # mostly all different, so that a good file comes of it now and then
        names = [f"{name}{chance.choice(('', number))}" for number, name in enumerate(names)]
    records = tuple(replace(record, name=name) for record, name in zip(parts.header.tensors, names, strict=True))
    header = replace(parts.header, tensors=records).to_bytes()
    if chance.random() < 0.3:
        bad = chance.choice(_NO_UTF8)
        good = {2: "ä", 3: "€", 4: "\U0001f600"}[len(bad)].encode()
        header = header.replace(good, bad)
    return _sealed(header, parts.labels, parts.payloads, chance)


def _with_other_values(data: bytes, chance: random.Random) -> bytes:
    """Values at the ends of what floats are; those that are coded stay, for they are bytes like any other."""
    parts = _parts(data)
    index = chance.randrange(len(parts.payloads))
    record, payload = parts.header.tensors[index], parts.payloads[index]
    width = 2 if record.stored_as == "float16" else 4
    if record.coded_value_bytes is not None or record.value_bytes < width:
        return _with_changed_payload(data, chance)
    at = width * chance.randrange(record.value_bytes // width)
    bits = chance.choice(_FLOAT16_BITS if width == 2 else _FLOAT32_BITS) | chance.randrange(2) << (8 * width - 1)
    payload = payload[:at] + bits.to_bytes(width, "little") + payload[at + width :]
    return _put_together(parts, index, record, payload, chance)


def _with_other_exponents(data: bytes, chance: random.Random) -> bytes:
    """Exponents up to the ends of their range and beyond, in either codec, from the least or as differences."""
    parts = _parts(data)
    scaled = [number for number, tensor in enumerate(parts.header.tensors) if tensor.row_bytes is not None]
    if not scaled:
        return _with_other_values(data, chance)
    index = chance.choice(scaled)
    record, payload = parts.header.tensors[index], parts.payloads[index]
    ends = (-128, 127, chance.choice((-129, -1, 0, 1, 128)), chance.randrange(-3, 3))
    wide = np.array([chance.choice(ends) for _ in range(record.shape[0])], dtype=np.int64)
    codec = CODECS[chance.choice(("raw", "huffman"))]
    if chance.random() < 0.5:
        least = chance.randrange(-128, max(-128, min(127, int(wide.min(initial=127)))) + 1)
        rows = bytes([codec.id, least & 255]) + codec.encode((wide - least).clip(0).astype(np.uint16))
    else:
        steps = np.diff(wide, prepend=0)
        rows = bytes([codec.id | 128]) + codec.encode(np.where(steps < 0, -2 * steps - 1, 2 * steps).astype(np.uint16))
    start = record.value_bytes
    if record.stored_as == "float32" and start >= 4 and chance.random() < 0.5:  # the largest that is finite
        payload = b"\xff\xff\x7f\x7f" + payload[4:]
    payload = payload[:start] + rows + payload[start + (record.row_bytes or 0) :]
    return _put_together(parts, index, replace(record, row_bytes=len(rows)), payload, chance)


def _with_other_symbols(data: bytes, chance: random.Random) -> bytes:
    """Symbols coded well, in any codec and order, up to the last that there is and one beyond."""
    parts = _parts(data)
    index = chance.randrange(len(parts.payloads))
    record, payload = parts.header.tensors[index], parts.payloads[index]
    if record.codec is None:
        return _with_other_values(data, chance)
    most = 1 if record.form == "pruned" else record.values
    weights = record.weights
    symbols = np.array([chance.choice((0, 0, 1, chance.randint(0, most))) for _ in range(weights)], dtype=np.uint16)
    if record.form == "pruned":
        mask = [*[1] * record.values, *[0] * weights][:weights]
        symbols[:] = chance.sample(mask, weights)
    if weights and chance.random() < 0.3:
        symbols[chance.randrange(weights)] = chance.choice((0, most, min(most + 1, 65535), 65535))
    codec, order = chance.choice(list(CODECS.values())), chance.choice(orders_of(len(record.shape)))
    coded = coded_by_chance(in_order(symbols.reshape(record.shape), order), codec, chance)
    head = payload[: len(payload) - record.coded_bytes]
    record = replace(record, codec=codec, order=order, coded_bytes=len(coded))
    return _put_together(parts, index, record, head + coded, chance)


CHANGES: Mapping[str, Callable[[bytes, random.Random], bytes]] = {
    "header": _with_changed_header,
    "record": _with_changed_record,
    "payload": _with_changed_payload,
    "splice": _with_spliced_payload,
    "labels": _with_changed_labels,
    "names": _with_other_names,
    "values": _with_other_values,
    "exponents": _with_other_exponents,
    "symbols": _with_other_symbols,
    "deflate": _with_changed_deflate,
}
"""Each returns another file for a good one; all checksums are right."""
