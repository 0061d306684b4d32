"""Attacks on each field of the header. All checksums are correct, so that only the reader's other checks can refuse."""

from __future__ import annotations

import contextlib
import tracemalloc
import zlib
from dataclasses import dataclass, replace

import forge
import numpy as np
import pytest

from benchmarks.format_models import small_model
from compress.codecs import CODECS
from compress.container.file import decode, layout
from compress.errors import FormatError

GOOD = forge.small_file()
HEADER = forge.header_of(GOOD)
BODY = forge.body_of(GOOD)
ROW_BYTES, COLUMN_BYTES, _ = HEADER.tensors[0].exponent_bytes
NAMES = [tensor.name for tensor in HEADER.tensors]


@dataclass
class UnknownCodec:
    name: str = "of the future"
    id: int = 200


def changed(**fields):
    return forge.sealed(replace(HEADER, **fields).to_bytes(), BODY)


def with_tensor(index, **fields):
    return forge.with_tensor(GOOD, index, **fields)


def preprocessing(**fields):
    return changed(preprocessing=replace(HEADER.preprocessing, **fields))


def raw_header(old, new):
    plain = HEADER.to_bytes()
    assert plain.count(old) == 1
    return forge.sealed(plain.replace(old, new), BODY)


def bomb():
    zeros = zlib.compressobj(9, zlib.DEFLATED, -15)
    return zeros.compress(bytes(1 << 26)) + zeros.flush()


LABELS = HEADER.label_bytes
NAN = np.array([0.5, np.nan, 1], "<f2").tobytes()
INFINITE = np.array([0.5, np.inf, 1], "<f2").tobytes()


def with_codebook(codebook):
    """The file with another codebook, the first section of the first tensor."""
    return forge.with_payload(GOOD, 0, codebook + forge.payload_of(GOOD, 0)[len(codebook) :])


ATTACKS = {
    "a newer version": (forge.sealed(HEADER.to_bytes(), BODY, version=2), "version 2 is unknown; a newer"),
    "an unknown compression of the header": (forge.sealed(HEADER.to_bytes(), BODY, coding=9), "compression 9"),
    "a header that is not a deflate stream": (forge.sealed(b"\xff" * 40, BODY, coding=1), "damaged"),
    "a header shorter than it says": (forge.sealed(HEADER.to_bytes(), BODY, plain_bytes=5), "another length"),
    "a header of four gigabytes": (forge.sealed(b"x", BODY, plain_bytes=2**32 - 1, coding=1), "4,294,967,295"),
    "a header that is a deflate bomb": (forge.sealed(bomb(), BODY, plain_bytes=500, coding=1), "another length"),
    "no header": (forge.sealed(b"", BODY), "does not end"),
    "bytes after the header": (forge.sealed(HEADER.to_bytes() + b"\0", BODY), "left over"),
    "a program beyond the header": (forge.sealed(HEADER.to_bytes() + b"\2x", BODY), "ends within a program"),
    "bytes after the program": (forge.sealed(HEADER.to_bytes() + b"\1xx", BODY), "left over"),
    "too long a program": (forge.sealed(HEADER.to_bytes() + b"\x81\x80\4" + bytes(65_537), BODY), "at most 65,536"),
    "a name that is not UTF-8": (raw_header(b"\x05small", b"\x05\xffmall"), "UTF-8"),
    "a name beyond the header": (raw_header(b"\x05small", b"\xff\x07small"), "ends within"),
    "too long a name": (raw_header(b"\x05small", b"\xff\xff\x7fsmall"), "at most 1,024"),
    "absurdly many classes": (raw_header(b"small\x03", b"small\xff\xff\xff\xff\x7f"), "classes"),
    "an unknown resize": (raw_header(b"\x08\x09\x0a\x01\x02", b"\x08\x09\x0a\x07\x02"), "resize"),
    "unknown channels": (raw_header(b"\x08\x09\x0a\x01\x02", b"\x08\x09\x0a\x01\x03"), "channels"),
    "a scale that is not a number": (
        raw_header(np.float64(1 / 255).tobytes(), np.float64(np.nan).tobytes()),
        "not finite",
    ),
    "labels of another number of classes": (changed(classes=4), "3 lines; expected 4"),
    "unknown compression of the labels": (changed(label_coding=7), "compression 7"),
    "labels of a terabyte": (changed(label_plain_bytes=1 << 40), "1,099,511,627,776"),
    "labels longer than they say": (changed(label_plain_bytes=3), "another length"),
    "labels beyond the file": (changed(label_bytes=1 << 60), "cut off"),
    "fewer tensors than payloads": (changed(tensors=HEADER.tensors[:-1]), "left over"),
    "two tensors of one name": (with_tensor(1, name=NAMES[0]), "two tensors are named 'layer.0.weight'"),
    "more weights than allowed": (with_tensor(1, shape=(1 << 40,)), "max_weights"),
    "more weights than allowed, all tensors together": (
        changed(tensors=tuple(replace(tensor, shape=(1 << 27, 1)) for tensor in HEADER.tensors)),
        "max_weights",
    ),
    "huge extents beside a zero": (with_tensor(1, shape=(1 << 62, 1 << 62, 0)), "max_weights"),
    "another shape with as many bytes": (with_tensor(2, shape=(5,)), "tensor layer.1.weight"),
    "a larger shape": (with_tensor(1, shape=(5,)), "cut off"),
    "an unknown codec": (with_tensor(0, codec=UnknownCodec()), "codec 200 is unknown; a newer"),
    "another codec": (with_tensor(0, codec=CODECS["raw"]), "tensor layer.0.weight"),
    "a section that overlaps the next": (
        with_tensor(0, exponent_bytes=(ROW_BYTES + 1, COLUMN_BYTES - 1, None)),
        "tensor layer.0.weight: exponents",
    ),
    "a section longer than the file": (with_tensor(0, symbol_bytes=1 << 50), "cut off"),
    "a codebook of more than 65,536 values": (with_tensor(0, value_count=1 << 16), "values: 65,536"),
    "fewer values in the codebook than indices": (
        with_tensor(0, value_count=2, exponent_bytes=(ROW_BYTES + 2, COLUMN_BYTES, None)),
        "symbol 3; expected at most 2",
    ),
    "another number of unpruned values": (
        with_tensor(2, value_count=2, symbol_bytes=HEADER.tensors[2].symbol_bytes + 4),
        "tensor layer.1.weight",
    ),
    "column exponents without columns": (with_tensor(0, shape=(12,)), "form"),
    "a NaN in a codebook": (with_codebook(NAN), "tensor layer.0.weight: a value is not finite"),
    "infinity in a codebook": (with_codebook(INFINITE), "tensor layer.0.weight: a value is not finite"),
    "a payload of another tensor": (
        forge.sealed(HEADER.to_bytes(), BODY[:LABELS] + bytes(len(BODY) - LABELS)),
        "tensor layer.0.weight is damaged",
    ),
}


def test_the_unchanged_file_is_good():
    assert decode(changed()).labels == small_model().labels


@pytest.mark.parametrize(("data", "problem"), ATTACKS.values(), ids=ATTACKS)
def test_an_attack_is_a_format_error_with_an_offset(data, problem):
    with pytest.raises(FormatError, match=problem) as caught:
        decode(data)
    assert 0 <= caught.value.offset <= len(data)
    with contextlib.suppress(FormatError):  # it does not check everything
        layout(data)


@pytest.mark.parametrize("attack", [name for name, (data, _) in ATTACKS.items() if "bomb" in name or "byte" in name])
def test_a_refusal_needs_little_memory(attack):
    tracemalloc.start()
    with pytest.raises(FormatError):
        decode(ATTACKS[attack][0])
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


@pytest.mark.parametrize("bit", [0, 5])
def test_each_tensor_has_a_checksum(bit):
    damaged = bytearray(GOOD[:-4])
    damaged[-2] ^= 1 << bit  # the checksum of the last tensor
    with pytest.raises(FormatError, match=r"layer\.2\.weight is damaged"):
        decode(bytes(damaged) + zlib.crc32(damaged).to_bytes(4, "little"))
