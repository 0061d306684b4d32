"""Exponents of scales in a file: the fewest bytes by what reads the symbols anyway."""

from __future__ import annotations

import forge
import numpy as np
import pytest

from compress.codecs import CODECS
from compress.container import decode, encode, layout
from compress.errors import FormatError
from compress.model import CAFFE, Model
from compress.tensors import Shared, levels_codebook, zigzag_symbols


def model_of(columns):
    """One layer on levels whose columns have these exponents."""
    random = np.random.default_rng(0)
    levels = np.rint(random.laplace(size=(32, len(columns)))).astype(np.int32)
    symbols = zigzag_symbols(levels)
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


def test_where_symbols_are_coded_by_context_exponents_are_too_and_need_no_table():
    columns = np.rint(np.random.default_rng(1).normal(-40, 3, 256)).astype(np.int8)
    by_context, by_huffman = (
        layout(encode(model_of(columns), [codec])).tensors[0].scale_bytes for codec in ("context", "huffman")
    )
    deviations = columns.astype(np.float64) + 40
    bits = 0.5 * np.log2(2 * np.pi * np.e * np.square(deviations).mean()) * len(columns)  # of a normal distribution
    assert by_context < by_huffman - 10
    assert by_context < 1.1 * bits / 8 + 6


def test_who_reads_symbols_without_context_is_not_asked_to_read_exponents_by_it():
    """A reader for microcontrollers has no codec `context`; a file that asks for it in a small place is refused."""
    good = encode(model_of(np.arange(8)), ["huffman"])
    payload = forge.payload_of(good, 0)
    assert payload[0] & 127 in {CODECS["huffman"].id, CODECS["raw"].id}
    bad = forge.with_payload(good, 0, bytes([CODECS["context"].id]) + payload[1:])
    with pytest.raises(FormatError, match="exponents of rows: no exponents"):
        decode(bad)
