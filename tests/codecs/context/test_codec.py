from __future__ import annotations

import check
import context_reference_decoder
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from compress.codecs import CODECS, entropy_bytes
from compress.codecs.primitives.trellis import MIDDLE_TRELLIS, SMALL_TRELLIS, TRELLIS, trellis_levels
from compress.errors import FormatError
from compress.networks.weight_sources import Embedded
from compress.tensors.levels import zigzag_levels, zigzag_symbols

context, huffman = CODECS["context"], CODECS["huffman"]

shapes = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6)


TRELLISES = (SMALL_TRELLIS, MIDDLE_TRELLIS, TRELLIS)
each = pytest.mark.parametrize("trellis", TRELLISES)


def golden_trellis(trellis=SMALL_TRELLIS):
    """A small layer whose columns follow a trellis: the same on every machine."""
    indices = zigzag_levels(check.golden_symbols()[:1152] % 40).reshape(16, 72)
    return zigzag_symbols(trellis_levels(indices, trellis)).reshape(16, 8, 3, 3)


def golden_units():
    """Magnitudes up to 128, all about as frequent but for the zeros: the same on every machine."""
    state = (np.arange(3200, dtype=np.uint64) * 2654435761 % 2**32) ** 2 >> 20 & 511
    return np.where(state < 256, 0, state - 255).astype(np.uint16).reshape(32, 10, 10)


def golden_predicted():
    """Pairs of columns that repeat each other, a few levels not small: the same on every machine."""
    state = (np.arange(3600, dtype=np.uint64) * 2654435761 % 2**32) ** 2 >> 20 & 7
    pairs = state.astype(np.int32).reshape(40, 45, 2) - 3
    levels = np.concatenate([pairs, pairs], 2).reshape(40, 180)
    levels[::5, 50] = 300
    return zigzag_symbols(levels)


def predicted_trellis(trellis):
    """Pairs of columns of which one half repeats the other but for the signs of rows, along a trellis."""
    indices = zigzag_levels(golden_predicted() % 8)
    return zigzag_symbols(trellis_levels(indices, trellis))


@pytest.fixture(scope="module")
def real_levels():
    """A 3x3 layer of SqueezeNet v1.1 on levels, with a step for each row."""
    weights = Embedded().load().tensors["features.11.expand3x3.weight"].to_dense()
    step = np.abs(weights).mean(axis=(1, 2, 3), keepdims=True)
    return np.rint(weights / step).astype(np.int32)


def test_a_worked_example_has_these_bytes():
    symbols = np.array([[0, 1, 0, 2], [0, 3, 1, 0]], np.uint16)
    assert context.encode(symbols) == bytes.fromhex("1e 8a e1 6c")


@pytest.mark.parametrize("shape", [(3000,), (20, 150), (30, 4, 5, 5), (3, 10, 100), (), (2, 0)])
def test_a_reader_written_from_the_description_decodes_it(shape):
    symbols = check.golden_symbols()[: int(np.prod(shape))].reshape(shape)
    assert context_reference_decoder.decode(context.encode(symbols), shape) == zigzag_levels(symbols).ravel().tolist()


def test_a_reader_written_from_the_description_decodes_large_symbols_and_the_trellis():
    large = (check.golden_symbols()[:600].astype(np.int64) * 2221 % 65536).astype(np.uint16).reshape(10, 60)
    along = [made(trellis) for made in (golden_trellis, predicted_trellis) for trellis in TRELLISES]
    for symbols in (large, *along, golden_units(), golden_predicted()):
        decoded = context_reference_decoder.decode(context.encode(symbols), symbols.shape)
        assert decoded == zigzag_levels(symbols).ravel().tolist()


def test_published_bytes_of_a_trellis_are_written_and_read_for_ever():
    golden = (check.GOLDEN / "context-trellis.bin").read_bytes()
    np.testing.assert_array_equal(context.decode(golden, (16, 8, 3, 3)), golden_trellis())
    assert context.encode(golden_trellis()) == golden
    assert golden[0] & 1


@pytest.mark.parametrize(
    ("file", "trellis", "first"),
    [("context-large-trellis.bin", MIDDLE_TRELLIS, 126), ("context-largest-trellis.bin", TRELLIS, 124)],
)
def test_published_bytes_of_larger_trellises_are_written_and_read_for_ever(file, trellis, first):
    golden = (check.GOLDEN / file).read_bytes()
    np.testing.assert_array_equal(context.decode(golden, (16, 8, 3, 3)), golden_trellis(trellis))
    assert context.encode(golden_trellis(trellis)) == golden
    assert golden[0] == first


def test_published_bytes_of_units_are_written_and_read_for_ever():
    golden = (check.GOLDEN / "context-units.bin").read_bytes()
    np.testing.assert_array_equal(context.decode(golden, (32, 10, 10)), golden_units())
    assert context.encode(golden_units()) == golden
    assert golden[0] >= 128


def test_published_bytes_of_predicted_levels_are_written_and_read_for_ever():
    golden = (check.GOLDEN / "context-predicted.bin").read_bytes()
    np.testing.assert_array_equal(context.decode(golden, (40, 180)), golden_predicted())
    assert context.encode(golden_predicted()) == golden
    assert golden[0] == 127


@each
@settings(deadline=None)
@given(indices=arrays.arrays(np.int32, shapes.filter(len), elements=st.integers(-20, 20)))
def test_levels_that_follow_a_trellis_come_back(trellis, indices):
    levels = trellis_levels(indices.reshape(len(indices), int(np.prod(indices.shape[1:]))), trellis)
    check.check_round_trip(context, zigzag_symbols(levels).reshape(indices.shape))


@each
def test_a_trellis_is_taken_where_levels_follow_it_and_only_there(trellis):
    symbols = golden_trellis(trellis)
    with_trellis = context.encode(symbols)
    broken = symbols.copy()
    broken[0, 0, 0, 0] = 1  # an odd level at the top, where only even ones may be
    said_first = {126: MIDDLE_TRELLIS, 124: TRELLIS}.get(with_trellis[0], SMALL_TRELLIS)
    assert said_first is trellis
    assert with_trellis[trellis is not SMALL_TRELLIS] & 1
    assert not context.encode(broken)[0] & 1
    assert len(with_trellis) < 0.9 * len(context.encode(broken))


@pytest.mark.parametrize(("trellis", "first"), [(SMALL_TRELLIS, 127), (MIDDLE_TRELLIS, 125), (TRELLIS, 123)])
def test_levels_along_a_trellis_are_predicted_too(trellis, first):
    coded = check.check_round_trip(context, predicted_trellis(trellis))
    assert coded[0] == first
    assert coded[1] & 1


def test_many_zeros_follow_all_trellises_and_take_no_byte_that_says_which():
    assert context.encode(np.zeros((100, 100), np.uint16))[0] < 80


@each
def test_what_follows_a_trellis_has_its_indices_as_symbols(trellis):
    symbols = golden_trellis(trellis)
    coded = context.as_coded(context.encode(symbols), symbols)
    indices = zigzag_levels(check.golden_symbols()[:1152] % 40).reshape(16, 72)
    np.testing.assert_array_equal(zigzag_levels(coded), indices)
    assert not context.gains_by_order(context.encode(symbols))


@each
def test_a_stream_of_a_trellis_cut_anywhere_or_too_long_is_refused(trellis):
    check.check_truncation(context, golden_trellis(trellis)[:4])
    check.check_damage(context, golden_trellis(trellis)[:2, :2])


def test_a_stream_predicted_along_a_trellis_cut_anywhere_or_too_long_is_refused():
    symbols = predicted_trellis(TRELLIS)[:12]
    assert context.encode(symbols)[0] == 123
    check.check_truncation(context, symbols)
    check.check_damage(context, symbols)


def test_a_stream_in_units_cut_anywhere_or_too_long_is_refused():
    check.check_truncation(context, golden_units()[:4])
    check.check_damage(context, golden_units()[:2])


def test_a_stream_of_predicted_levels_cut_anywhere_or_too_long_is_refused():
    check.check_truncation(context, golden_predicted()[:32])
    check.check_damage(context, golden_predicted()[:32])


@settings(deadline=None)
@given(arrays.arrays(np.int32, shapes.filter(len), elements=st.integers(-300, 300)), st.integers(1, 100))
def test_large_magnitudes_come_back_with_a_trellis_and_without(indices, times):
    levels = times * indices.reshape(len(indices), int(np.prod(indices.shape[1:])))
    along = [trellis_levels(indices.reshape(levels.shape), trellis) for trellis in TRELLISES]
    for some in (levels, *along):
        check.check_round_trip(context, zigzag_symbols(some).reshape(indices.shape))


def test_magnitudes_that_are_all_about_as_frequent_take_little_more_than_their_entropy():
    symbols = np.random.default_rng(0).integers(0, 257, (64, 64)).astype(np.uint16)
    assert len(context.encode(symbols)) < 4096 * np.log2(257) / 8 * 1.01


@pytest.mark.parametrize("shape", [(100_000,), (100, 1000), (1000, 100), (10, 100, 10, 10)])
def test_all_zeros_take_next_to_nothing(shape):
    assert len(check.check_round_trip(context, np.zeros(shape, np.uint16))) < 25


def test_transposed_arrays_encode_as_copies_do():
    symbols = check.golden_symbols().reshape(50, 60).T
    assert context.encode(symbols) == context.encode(symbols.copy())


def test_a_layer_of_a_real_network_takes_fewer_bytes_than_its_order_0_entropy(real_levels):
    symbols = zigzag_symbols(real_levels)
    coded = len(check.check_round_trip(context, symbols))
    assert coded < 0.9 * entropy_bytes(symbols)
    assert coded < 0.9 * min(len(huffman.encode(symbols)), len(CODECS["huffman-runs"].encode(symbols)))


def test_channels_that_have_to_do_with_each_other_take_fewer_bytes(real_levels):
    symbols = zigzag_symbols(real_levels)
    alone = zigzag_symbols(real_levels * np.random.default_rng(0).choice([-1, 1], real_levels.shape).astype(np.int32))
    assert context.encode(symbols)[0] == 127
    assert context.encode(alone)[0] != 127


def test_the_shape_of_a_real_layer_is_made_use_of(real_levels):
    symbols = zigzag_symbols(real_levels)
    assert len(context.encode(symbols)) < 0.97 * len(context.encode(symbols.ravel()))


@pytest.mark.parametrize(
    ("data", "shape", "problem"),
    [
        (b"", (4,), "no mean magnitude"),
        (b"\x50", (4,), "no mean magnitude"),
        (b"\xd0\x04", (4,), "no mean magnitude"),
        (b"\x9e", (4,), "no unit"),
        (b"\x9e\x00\x8a\xe1", (4,), "no unit"),
        (b"\x9e\x09\x8a\xe1", (4,), "no unit"),
        (b"\x7f", (4,), "no mean magnitude"),
        (b"\x7f\x7f", (4,), "no mean magnitude"),
        (b"\x7f\x9e\x09", (4,), "no unit"),
        (b"\x7f\x9e", (4,), "no unit"),
        (b"\x7f\x14" + bytes(40), (4,), "beyond 16 bits"),
        (b"\x7f\x1e\x8a\xe1\x6c\x00", (2, 4), "left over"),
        (b"\x7e", (4,), "no mean magnitude"),
        (b"\x7d\x7d", (4,), "no mean magnitude"),
        (b"\x7e\x7f", (4,), "no mean magnitude"),
        (b"\x7e\x1e\x8a\xe1\x6c", (2, 4), "no trellis"),
        (b"\x7d\x1e\x8a\xe1\x6c", (2, 4), "no trellis"),
        (b"\x7e\x9e\x04", (4,), "no trellis"),
        (b"\x7e\x9f\x09", (4,), "no unit"),
        (b"\x7d\x9f", (4,), "no unit"),
        (b"\x7e\x15" + bytes(40), (4,), "beyond 16 bits"),
        (b"\x9e\x04", (4,), "too early"),
        (b"\x9e\x08" + bytes(40), (4,), "beyond 16 bits"),
        (b"\x1e\x8a\xe1\x6c\x00", (2, 4), "left over"),
        (b"\x1e\x8a\xe1", (2, 4), "too early|closed"),
        (b"\x14", (), "too early"),
        (b"\x14\x80", (0, 5), "left over"),
        (b"\x14" + bytes(40), (4,), "beyond 16 bits"),
        (b"\x15" + bytes(40), (4,), "beyond 16 bits"),
    ],
)
def test_other_streams_are_refused(data, shape, problem):
    with pytest.raises(FormatError, match=problem) as caught:
        context.decode(data, shape)
    assert 0 <= caught.value.offset <= len(data)


@pytest.mark.parametrize("shape", [(1 << 50,), (1 << 20, 1 << 20), (1 << 16, 1 << 16, 3, 3)])
def test_a_count_that_the_bits_cannot_hold_is_refused_before_memory_is_taken(shape):
    with pytest.raises(FormatError, match="too early"):
        context.decode(context.encode(golden_trellis()), shape)


def test_extents_beside_a_zero_take_no_memory():
    assert context.decode(b"\x14", (0, 1 << 40)).shape == (0, 1 << 40)
