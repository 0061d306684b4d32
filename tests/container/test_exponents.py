"""Exponents of scales in a file."""

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
    """Return a model of one layer on levels with these column exponents."""
    random = np.random.default_rng(0)
    levels = np.rint(random.laplace(size=(32, len(columns)))).astype(np.int32)
    symbols = levels_to_symbols(levels)
    codebook = levels_codebook(int(symbols.max()) + 1)
    tensor = Shared(codebook, symbols, "float16", np.full(32, 3, np.int8), np.asarray(columns, np.int8))
    return Model("a", 2, CAFFE, {"weight": tensor})


@pytest.mark.parametrize("codecs", [("context",), ("huffman",), ("context", "huffman", "raw")])
@pytest.mark.parametrize("spread", [0.4, 3, 60])
def test_exponents_survive_a_round_trip(codecs, spread):
    columns = np.clip(np.random.default_rng(1).normal(-40, spread, 256), -128, 127).astype(np.int8)
    back = decode(encode(model_of(columns), codecs)).tensors["weight"]
    np.testing.assert_array_equal(back.column_exponents, columns)
    np.testing.assert_array_equal(back.row_exponents, np.full(32, 3))


def scale_bytes(columns, codec):
    return layout(encode(model_of(columns), [codec])).tensors[0].scale_bytes


@pytest.mark.parametrize("count", [64, 512])
def test_context_codes_exponents_in_fewer_bytes_if_it_may_code_the_symbols(count):
    columns = np.rint(np.random.default_rng(1).normal(-40, 2, count)).astype(np.int8)
    assert scale_bytes(columns, "context") < scale_bytes(columns, "huffman")


def test_nearly_constant_exponents_take_less_than_a_bit_each():
    columns = np.repeat([4, 5], 500)
    assert scale_bytes(columns, "context") < 40
    assert scale_bytes(columns, "huffman") > 1000 / 8


def test_exponents_by_context_need_symbols_by_context():
    """A decoder for microcontrollers lacks `context`, so a file must not use it for exponents alone."""
    good = encode(model_of(np.arange(8)), ["huffman"])
    payload = forge.payload_of(good, 0)
    assert payload[0] & 127 in {CODECS["huffman"].id, CODECS["raw"].id}
    bad = forge.with_payload(good, 0, bytes([CODECS["context"].id]) + payload[1:])
    with pytest.raises(FormatError, match="exponents of rows: no exponents"):
        decode(bad)
