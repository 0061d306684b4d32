from __future__ import annotations

from pathlib import Path

import forge
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from compress.container.file import decode, encode, layout
from compress.container.scan_order import from_scan_order, scan_orders, scanned_shape, to_scan_order
from compress.errors import FormatError
from compress.model import CAFFE, Model
from compress.tensors.forms import Shared
from compress.tensors.levels import levels_codebook

GOLDEN = Path(__file__).parents[1] / "golden" / "scan-orders-v1.sqz"


def two_input_channels():
    """Symbols of 64 input channels; only the first two have nonzero symbols, in every output channel."""
    symbols = np.zeros((64, 64), dtype=np.uint16)
    symbols[:, :2] = 1
    return symbols


def late_taps():
    """Symbols of 3x3 kernels; the first tap is hardly ever nonzero, the last nearly always."""
    random = np.random.default_rng(0).random((16, 16, 3, 3))
    return (random < np.linspace(0.02, 0.9, 9).reshape(3, 3)).astype(np.uint16)


def test_scan_orders_place_symbols_as_their_names_say():
    weights = np.arange(2 * 3 * 1 * 2, dtype=np.uint16).reshape(2, 3, 1, 2)
    assert to_scan_order(weights, "out-in").ravel().tolist() == list(range(12))
    assert to_scan_order(weights, "in-out").ravel().tolist() == [0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11]
    assert to_scan_order(weights, "kernel-first").ravel().tolist() == [0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11]


@given(arrays.arrays(np.uint16, arrays.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=5)))
def test_every_scan_order_round_trips(symbols):
    for order in scan_orders(symbols.ndim):
        arranged = to_scan_order(symbols, order)
        assert arranged.shape == scanned_shape(symbols.shape, order)
        np.testing.assert_array_equal(from_scan_order(arranged, order, symbols.shape), symbols)


def test_dimensions_limit_the_scan_orders():
    assert [len(scan_orders(dimensions)) for dimensions in range(6)] == [1, 1, 2, 3, 3, 3]


def test_a_published_file_of_scan_orders_is_written_and_read_forever():
    mixed = (np.arange(3000, dtype=np.uint64) ** 2 * 40503 >> 7) & 255
    uneven = 2 - np.searchsorted([200, 245], mixed, side="right").astype(np.uint16).reshape(60, 50)
    tensors = {
        "in-out": Shared(levels_codebook(2), two_input_channels()),
        "kernel-first": Shared(levels_codebook(2), late_taps()),
        "out-in": Shared(levels_codebook(3), uneven),
    }
    golden = GOLDEN.read_bytes()
    read = decode(golden).tensors
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(read[name].to_dense(), tensor.to_dense())
    assert [(part.codec, part.scan_order) for part in layout(golden).tensors] == [
        ("huffman-runs", "in-out"),
        ("huffman-runs", "kernel-first"),
        ("huffman", "out-in"),
    ]
    assert encode(Model("orders", 2, CAFFE, tensors), ["huffman", "huffman-runs"]) == golden


def with_scan_order(number, dimensions):
    """A file of one tensor whose record has this number as scan order."""
    symbols = late_taps() if dimensions == 4 else two_input_channels()
    data = encode(Model("a", 2, CAFFE, {"w": Shared(levels_codebook(2), symbols)}), ["huffman-runs"])
    header = forge.header_bytes_of(data)
    (record,) = forge.header_of(data).tensors
    fields = bytes([2, 2 if dimensions == 4 else 1, record.value_count])  # codec, scan order, values
    assert header.count(fields) == 1
    changed = header.replace(fields, bytes([2, number, record.value_count]))
    return forge.sealed(changed, forge.body_of(data))


@pytest.mark.parametrize(
    ("number", "dimensions", "problem"),
    [(0, 4, "order 0"), (3, 4, "at most 2"), (2, 2, "order of 2 dimensions: 2"), (0, 2, "order 0")],
)
def test_an_unknown_scan_order_is_refused(number, dimensions, problem):
    with pytest.raises(FormatError, match=problem):
        decode(with_scan_order(number, dimensions))


@given(st.sampled_from([1, 2]))
def test_a_scan_order_that_the_dimensions_allow_is_read(number):
    assert decode(with_scan_order(number, 4)).tensors["w"].shape == (16, 16, 3, 3)


def test_a_small_file_with_very_many_weights_is_refused_by_default():
    symbols = np.zeros((1 << 11, 1 << 13), dtype=np.uint16)
    data = encode(Model("a", 2, CAFFE, {"w": Shared(levels_codebook(2), symbols)}))
    header = forge.header_bytes_of(data)
    extents = bytes([2, 0x80, 0x10, 0x80, 0x40])
    assert header.count(extents) == 1
    larger = forge.sealed(header.replace(extents, bytes([2, 0x80, 0x10, 0x81, 0x40])), forge.body_of(data))
    assert decode(data).tensors["w"].shape == symbols.shape
    with pytest.raises(FormatError, match="max_weights"):
        decode(larger)
    assert decode(larger, max_weights=1 << 25).tensors["w"].shape == (1 << 11, (1 << 13) + 1)
