"""Exponents of scales in a file: in the fewest bytes, by what who reads the symbols has."""

from __future__ import annotations

import forge
import numpy as np
import pytest

from compress.codecs import CODECS
from compress.container.file import decode, encode, layout
from compress.errors import FormatError
from compress.model import CAFFE, Model
from compress.tensors.forms import Shared
from compress.tensors.levels import levels_codebook, levels_to_symbols


def model_of(columns):
    """One layer on levels whose columns have these exponents."""
    random = np.random.default_rng(0)
    levels = np.rint(random.laplace(size=(32, len(columns)))).astype(np.int32)
    symbols = levels_to_symbols(levels)
    codebook = levels_codebook(int(symbols.max()) + 1)
    tensor = Shared(codebook, symbols, "float16", np.full(32, 3, np.int8), np.asarray(columns, np.int8))
    return Model("a", 2, CAFFE, {"weight": tensor})


@pytest.mark.parametrize("codecs", [("context",), ("huffman",), ("context", "huffman", "raw")])
@pytest.mark.parametrize("spread", [0.4, 3, 60])
def test_exponents_come_back(codecs, spread):
    columns = np.clip(np.random.default_rng(1).normal(-40, spread, 256), -128, 127).astype(np.int8)
    back = decode(encode(model_of(columns), codecs)).tensors["weight"]
    np.testing.assert_array_equal(back.column_exponents, columns)
    np.testing.assert_array_equal(back.row_exponents, np.full(32, 3))


def scale_bytes(columns, codec):
    return layout(encode(model_of(columns), [codec])).tensors[0].scale_bytes


@pytest.mark.parametrize("count", [64, 512])
def test_where_symbols_are_coded_by_context_exponents_may_be_too_and_take_fewer_bytes(count):
    columns = np.rint(np.random.default_rng(1).normal(-40, 2, count)).astype(np.int8)
    assert scale_bytes(columns, "context") < scale_bytes(columns, "huffman")


def test_exponents_that_hardly_change_take_less_than_a_bit_each():
    columns = np.repeat([4, 5], 500)
    assert scale_bytes(columns, "context") < 40
    assert scale_bytes(columns, "huffman") > 1000 / 8


def test_who_reads_symbols_without_context_is_not_asked_to_read_exponents_by_it():
    """A reader for microcontrollers has no codec `context`; a file that asks for it in a small place is refused."""
    good = encode(model_of(np.arange(8)), ["huffman"])
    payload = forge.payload_of(good, 0)
    assert payload[0] & 127 in {CODECS["huffman"].id, CODECS["raw"].id}
    bad = forge.with_payload(good, 0, bytes([CODECS["context"].id]) + payload[1:])
    with pytest.raises(FormatError, match="exponents of rows: no exponents"):
        decode(bad)
