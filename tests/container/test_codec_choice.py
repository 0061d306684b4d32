from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from test_scan_order import late_taps, two_input_channels

from compress.codecs import CODECS, WRITERS
from compress.configuration.config import Encode
from compress.container.codec_choice import bytes_by_codec, smallest_coding
from compress.container.file import decode, encode, layout
from compress.container.scan_order import scan_orders, to_scan_order
from compress.model import CAFFE, Model
from compress.tensors.forms import Pruned, Shared
from compress.tensors.levels import levels_codebook

HUFFMANS = [CODECS["huffman"], CODECS["huffman-runs"]]


def test_the_smallest_coding_wins_and_the_first_where_equal():
    dense, sparse = np.tile(np.array([1, 2], np.uint16), 500), np.zeros(20_000, dtype=np.uint16)
    sparse[::400] = 1
    for symbols, name in ((dense, "huffman"), (sparse, "huffman-runs")):
        assert smallest_coding(symbols, HUFFMANS).codec.name == name
    nothing = np.zeros(0, np.uint16)
    assert {len(codec.encode(nothing)) for codec in (CODECS["raw"], CODECS["huffman"])} == {1}
    assert smallest_coding(nothing, [CODECS["huffman"], CODECS["raw"]]).codec.name == "huffman"
    assert smallest_coding(nothing, [CODECS["raw"], CODECS["huffman"]]).codec.name == "raw"


@given(
    arrays.arrays(
        np.uint16,
        arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=7),
        elements=st.one_of(st.just(0), st.integers(0, 3), st.integers(0, 600)),
    ),
    st.permutations(list(CODECS)),
)
def test_a_coding_that_is_not_tried_is_never_the_smallest(symbols, names):
    tried = []
    for name in names:
        first = CODECS[name].encode(symbols)
        orders = scan_orders(symbols.ndim) if CODECS[name].depends_on_order(first) else ["out-in"]
        tried += [(name, order, CODECS[name].encode(to_scan_order(symbols, order))) for order in orders]
    expected = min(tried, key=lambda one: len(one[2]) + 2 * (one[1] != "out-in"))
    coding = smallest_coding(symbols, [CODECS[name] for name in names])
    assert (coding.codec.name, coding.scan_order, coding.stream) == expected


@pytest.mark.parametrize("symbols", [two_input_channels(), late_taps()], ids=["in-out", "kernel-first"])
def test_files_for_microcontrollers_are_row_major(symbols):
    """Their readers decode a few filters at a time."""
    for coding in ("huffman", "context", "raw"):
        codecs = [WRITERS[name] for name in Encode(coding, target="microcontroller").codecs]
        assert smallest_coding(symbols, codecs).scan_order == "out-in"
        assert smallest_coding(symbols, codecs).codec.name in Encode(coding).codecs


@pytest.mark.parametrize(
    ("symbols", "order"),
    [(two_input_channels(), "in-out"), (late_taps(), "kernel-first")],
    ids=["in-out", "kernel-first"],
)
def test_a_file_has_the_smallest_scan_order_and_decodes_to_the_same_weights(symbols, order):
    assert smallest_coding(symbols, HUFFMANS).scan_order == order
    values = np.where(symbols == 1, np.arange(symbols.size, dtype=np.float32).reshape(symbols.shape), np.float32(0))
    tensors = {"shared": Shared(levels_codebook(2), symbols), "pruned": Pruned(values, symbols == 1)}
    data = encode(Model("a", 2, CAFFE, tensors), ["huffman", "huffman-runs"])
    assert [part.scan_order for part in layout(data).tensors] == [order, order]
    decoded = decode(data).tensors
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(decoded[name].to_dense(), tensor.to_dense())


def test_another_scan_order_must_save_more_than_its_two_bytes_in_the_record():
    symbols = np.zeros((2, 2), dtype=np.uint16)
    symbols[0] = 1
    default = len(CODECS["huffman-runs"].encode(symbols))
    other = len(CODECS["huffman-runs"].encode(symbols.T))
    order = smallest_coding(symbols.T, [CODECS["huffman-runs"]]).scan_order
    assert order == ("out-in" if default + 2 >= other else "in-out")


def test_bytes_by_codec_gives_every_codec_its_best_scan_order():
    symbols = late_taps()
    by_codec = bytes_by_codec(symbols)
    assert list(by_codec) == list(CODECS)
    assert by_codec["raw"] == len(CODECS["raw"].encode(symbols))
    assert by_codec["huffman-runs"] < len(CODECS["huffman-runs"].encode(symbols))  # kernel-first
