from __future__ import annotations

from pathlib import Path

import forge
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from compress.codecs import CODECS
from compress.container.file import decode, encode, layout
from compress.container.header import Header
from compress.container.scan_order import bytes_by_codec, in_order, orders_of, out_of_order, shape_in_order, smallest
from compress.errors import FormatError
from compress.model import CAFFE, Model
from compress.tensors.forms import Pruned, Shared
from compress.tensors.levels import levels_codebook

HUFFMANS = [CODECS["huffman"], CODECS["huffman-runs"]]


def input_channels_kept():
    """Of 64 input channels the first two, in every output channel."""
    symbols = np.zeros((64, 64), dtype=np.uint16)
    symbols[:, :2] = 1
    return symbols


def taps_kept():
    """Of the taps of 3x3 kernels the first hardly ever, the last nearly always."""
    chance = np.random.default_rng(0).random((16, 16, 3, 3))
    return (chance < np.linspace(0.02, 0.9, 9).reshape(3, 3)).astype(np.uint16)


def test_orders_say_what_comes_first():
    weights = np.arange(2 * 3 * 1 * 2, dtype=np.uint16).reshape(2, 3, 1, 2)
    assert in_order(weights, "out-in").ravel().tolist() == list(range(12))
    assert in_order(weights, "in-out").ravel().tolist() == [0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11]
    assert in_order(weights, "kernel-first").ravel().tolist() == [0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11]


@given(arrays.arrays(np.uint16, arrays.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=5)))
def test_every_order_comes_back(symbols):
    for order in orders_of(symbols.ndim):
        arranged = in_order(symbols, order)
        assert arranged.shape == shape_in_order(symbols.shape, order)
        np.testing.assert_array_equal(out_of_order(arranged, order, symbols.shape), symbols)


def test_a_tensor_has_the_orders_that_its_dimensions_allow():
    assert [len(orders_of(dimensions)) for dimensions in range(6)] == [1, 1, 2, 3, 3, 3]


def test_the_smallest_wins_and_the_first_where_equal():
    dense, sparse = np.tile(np.array([1, 2], np.uint16), 500), np.zeros(20_000, dtype=np.uint16)
    sparse[::400] = 1
    for symbols, name in ((dense, "huffman"), (sparse, "huffman-runs")):
        assert smallest(symbols, HUFFMANS).codec.name == name
    nothing = np.zeros(0, np.uint16)
    assert {len(codec.encode(nothing)) for codec in (CODECS["raw"], CODECS["huffman"])} == {1}
    assert smallest(nothing, [CODECS["huffman"], CODECS["raw"]]).codec.name == "huffman"
    assert smallest(nothing, [CODECS["raw"], CODECS["huffman"]]).codec.name == "raw"


@given(
    arrays.arrays(
        np.uint16,
        arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=7),
        elements=st.one_of(st.just(0), st.integers(0, 3), st.integers(0, 600)),
    ),
    st.permutations(list(CODECS)),
)
def test_what_is_left_out_untried_is_never_the_smallest(symbols, names):
    tried = []
    for name in names:
        first = CODECS[name].encode(symbols)
        orders = orders_of(symbols.ndim) if CODECS[name].gains_by_order(first) else ["out-in"]
        tried += [(name, order, CODECS[name].encode(in_order(symbols, order))) for order in orders]
    expected = min(tried, key=lambda one: len(one[2]) + 2 * (one[1] != "out-in"))
    coding = smallest(symbols, [CODECS[name] for name in names])
    assert (coding.codec.name, coding.order, coding.data) == expected


@pytest.mark.parametrize(
    ("symbols", "order"),
    [(input_channels_kept(), "in-out"), (taps_kept(), "kernel-first")],
    ids=["in-out", "kernel"],
)
def test_a_file_takes_the_order_with_the_fewest_bytes_and_gives_the_weights_back(symbols, order):
    assert smallest(symbols, HUFFMANS).order == order
    values = np.where(symbols == 1, np.arange(symbols.size, dtype=np.float32).reshape(symbols.shape), np.float32(0))
    tensors = {"shared": Shared(levels_codebook(2), symbols), "pruned": Pruned(values, symbols == 1)}
    data = encode(Model("a", 2, CAFFE, tensors), ["huffman", "huffman-runs"])
    assert [part.order for part in layout(data).tensors] == [order, order]
    decoded = decode(data).tensors
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(decoded[name].to_dense(), tensor.to_dense())


def test_a_published_file_of_orders_and_of_every_codec_is_written_and_read_for_ever():
    mixed = (np.arange(3000, dtype=np.uint64) ** 2 * 40503 >> 7) & 255
    uneven = np.searchsorted([200, 245], mixed, side="right").astype(np.uint16).reshape(60, 50)
    tensors = {
        "in-out": Shared(levels_codebook(2), input_channels_kept()),
        "kernel-first": Shared(levels_codebook(2), taps_kept()),
        "ans": Shared(levels_codebook(3), uneven),
    }
    golden = (Path(__file__).parents[1] / "golden" / "orders-v1.sqz").read_bytes()
    read = decode(golden).tensors
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(read[name].to_dense(), tensor.to_dense())
    assert [(part.codec, part.order) for part in layout(golden).tensors] == [
        ("huffman-runs", "in-out"),
        ("huffman-runs", "kernel-first"),
        ("ans", "out-in"),
    ]
    assert encode(Model("orders", 2, CAFFE, tensors), ["huffman", "huffman-runs", "ans"]) == golden


def test_another_order_has_to_be_worth_its_two_bytes_in_the_header():
    symbols = np.zeros((2, 2), dtype=np.uint16)
    symbols[0] = 1
    one_order = len(CODECS["huffman-runs"].encode(symbols))
    other = len(CODECS["huffman-runs"].encode(symbols.T))
    assert smallest(symbols.T, [CODECS["huffman-runs"]]).order == ("out-in" if one_order + 2 >= other else "in-out")


def test_what_every_codec_would_take_is_told():
    symbols = taps_kept()
    told = bytes_by_codec(symbols)
    assert list(told) == list(CODECS)
    assert told["raw"] == len(CODECS["raw"].encode(symbols))
    assert told["huffman-runs"] < len(CODECS["huffman-runs"].encode(symbols))  # kernel first


def with_order(number, dimensions):
    """A file of one tensor whose header says that its symbols are in the order of this number."""
    symbols = taps_kept() if dimensions == 4 else input_channels_kept()
    data = encode(Model("a", 2, CAFFE, {"w": Shared(levels_codebook(2), symbols)}), ["huffman-runs"])
    header = forge.header_of(data)
    (record,) = Header.from_bytes(header, 1 << 20).tensors
    told = bytes([2, 2 if dimensions == 4 else 1, record.values])  # codec, order, values
    assert header.count(told) == 1
    changed = header.replace(told, bytes([2, number, record.values]))
    return forge.sealed(changed, forge.body_of(data))


@pytest.mark.parametrize(
    ("number", "dimensions", "said"),
    [(0, 4, "order 0"), (3, 4, "at most 2"), (2, 2, "order of 2 dimensions: 2"), (0, 2, "order 0")],
)
def test_an_order_that_is_none_is_refused(number, dimensions, said):
    with pytest.raises(FormatError, match=said):
        decode(with_order(number, dimensions))


@given(st.sampled_from([1, 2]))
def test_an_order_of_the_dimensions_is_read(number):
    assert decode(with_order(number, 4)).tensors["w"].shape == (16, 16, 3, 3)


def test_a_small_file_of_ever_so_many_weights_is_refused_unless_asked_for():
    symbols = np.zeros((1 << 11, 1 << 13), dtype=np.uint16)
    data = encode(Model("a", 2, CAFFE, {"w": Shared(levels_codebook(2), symbols)}))
    header = forge.header_of(data)
    extents = bytes([2, 0x80, 0x10, 0x80, 0x40])
    assert header.count(extents) == 1
    larger = forge.sealed(header.replace(extents, bytes([2, 0x80, 0x10, 0x81, 0x40])), forge.body_of(data))
    assert decode(data).tensors["w"].shape == symbols.shape
    with pytest.raises(FormatError, match="max_weights"):
        decode(larger)
    assert decode(larger, max_weights=1 << 25).tensors["w"].shape == (1 << 11, (1 << 13) + 1)
