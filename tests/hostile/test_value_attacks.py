"""Attacks on codebooks of levels and on coded values. All checksums are correct."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import forge
import numpy as np
import pytest

from compress.codecs import CODECS
from compress.container.file import decode, layout
from compress.container.tensor_record import TensorRecord
from compress.errors import FormatError

GOOD = forge.levels_file()
HEADER = forge.header_of(GOOD)
BODY = forge.body_of(GOOD)
WEIGHT, BIAS, CODEBOOK, DENSE, PRUNED = range(5)


def with_tensor(index, **fields):
    return forge.with_tensor(GOOD, index, **fields)


def with_values(index, values):
    """The file with other bytes for the values of a tensor, and their length in its record."""
    rest = forge.payload_of(GOOD, index)[HEADER.tensors[index].value_bytes :]
    return forge.with_payload(GOOD, index, values + rest, coded_value_bytes=len(values))


def values_of(index):
    return forge.payload_of(GOOD, index)[: HEADER.tensors[index].value_bytes]


def with_form(index, old, new):
    """The file with another form of a tensor; the form is the byte after the shape."""
    plain = HEADER.to_bytes()
    shape = bytes([len(HEADER.tensors[index].shape), *HEADER.tensors[index].shape])
    assert plain.count(shape + bytes([old])) == 1
    return forge.sealed(plain.replace(shape + bytes([old]), shape + bytes([new])), BODY)


INFINITE = bytes([0]) + b"\x7c" * 60 + bytes(60)

ATTACKS = {
    "a symbol beyond the levels": (with_tensor(WEIGHT, value_count=3), "symbol 4; expected at most 3"),
    "more levels than float16 holds": (with_tensor(WEIGHT, value_count=4097), "values: 4,097; expected at most 4,096"),
    "more levels than symbols": (with_tensor(BIAS, value_count=1 << 16), "values: 65,536; expected at most 65,535"),
    "a dense tensor with levels": (with_form(DENSE, 4 + 64, 4 + 32), "form 36"),
    "levels that are coded": (with_form(WEIGHT, 2 + 4 + 8 + 32, 2 + 4 + 8 + 32 + 64), "form 110"),
    "an unknown form": (with_form(CODEBOOK, 2 + 64, 3), "form 3"),
    "values longer than the file": (with_tensor(DENSE, coded_value_bytes=1 << 50), "cut off"),
    "values that overlap the symbols": (
        with_tensor(
            CODEBOOK,
            coded_value_bytes=HEADER.tensors[CODEBOOK].value_bytes + 3,
            symbol_bytes=HEADER.tensors[CODEBOOK].symbol_bytes - 3,
        ),
        "tensor layer.1.weight",
    ),
    "values without their end": (with_values(DENSE, values_of(DENSE)[:-1]), "tensor layer.1.bias"),
    "values with bytes after them": (with_values(DENSE, values_of(DENSE) + b"\0"), "tensor layer.1.bias: .*left over"),
    "no values": (with_values(PRUNED, b""), "tensor layer.2.weight: no coded values"),
    "differences at distance 3": (with_values(DENSE, b"\x03" + bytes(120)), "no coded values"),
    "a third plane of float16": (with_values(DENSE, b"\x10" + bytes(120)), "no coded values"),
    "infinite values": (with_values(DENSE, INFINITE), "tensor layer.1.bias: a value is not finite"),
    "more values than the bytes can hold": (
        with_tensor(DENSE, shape=(1 << 23,)),
        "tensor layer.1.bias: .*(too early|cut off)",
    ),
}


def test_the_unchanged_file_is_good():
    forge.sealed(HEADER.to_bytes(), BODY)
    assert layout(with_values(DENSE, values_of(DENSE))).file_bytes


@pytest.mark.parametrize(("data", "problem"), ATTACKS.values(), ids=ATTACKS)
def test_an_attack_is_a_format_error_with_an_offset(data, problem):
    tracemalloc.start()
    with pytest.raises(FormatError, match=problem) as caught:
        decode(data)
    assert 0 <= caught.value.offset <= len(data)
    assert tracemalloc.get_traced_memory()[1] < 3e6
    tracemalloc.stop()


def test_many_codebooks_of_levels_need_no_memory():
    one = np.array([65535], np.uint16)
    coded = CODECS["huffman"].encode(one)
    record = TensorRecord("", (1,), "shared", "float32", 65535, CODECS["huffman"], symbol_bytes=len(coded), levels=True)
    records = tuple(replace(record, name=f"{number}") for number in range(500))
    data = forge.sealed(replace(HEADER, tensors=records).to_bytes(), forge.with_crc(coded) * len(records))
    tracemalloc.start()
    assert decode(data).tensors["7"].to_dense().tolist() == [32768]
    assert tracemalloc.get_traced_memory()[1] < 500 * 65536 * 4 / 10
    tracemalloc.stop()
