from __future__ import annotations

import check
import context_reference_decoder
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from compress.codecs import CODECS, entropy_bytes
from compress.codecs.primitives.trellis import NO_TRELLIS, TRELLIS_4096, trellis_levels
from compress.errors import FormatError
from compress.tensors.levels import levels_to_symbols, symbols_to_levels
from compress.weights.embedded_weights import EmbeddedWeights

context, huffman = CODECS["context"], CODECS["huffman"]

shapes = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6)

PREDICTION, TRELLIS, UNIT_BITS = 1, 2, 4
"""In a stream's first byte, modulo 24: 1 for prediction, 2 for a trellis, 4 times the bits of the unit."""


def options(stream):
    return stream[0] % 24


def golden_trellis():
    """A small layer whose columns follow the trellis: the same on every machine."""
    indices = symbols_to_levels(check.golden_symbols()[:1152] % 40).reshape(16, 72)
    return levels_to_symbols(trellis_levels(indices, TRELLIS_4096)).reshape(16, 8, 3, 3)


def golden_units():
    """Nonzero magnitudes up to 128, all about as frequent: the same on every machine."""
    state = (np.arange(3200, dtype=np.uint64) * 2654435761 % 2**32) ** 2 >> 20 & 511
    return np.where(state < 256, 0, state - 255).astype(np.uint16).reshape(32, 10, 10)


def golden_predicted():
    """Pairs of equal columns, with a few large levels: the same on every machine."""
    state = (np.arange(3600, dtype=np.uint64) * 2654435761 % 2**32) ** 2 >> 20 & 7
    pairs = state.astype(np.int32).reshape(40, 45, 2) - 3
    levels = np.concatenate([pairs, pairs], 2).reshape(40, 180)
    levels[::5, 50] = 300
    return levels_to_symbols(levels)


def predicted_trellis():
    """Pairs of columns whose indices are equal, along the trellis."""
    return levels_to_symbols(trellis_levels(symbols_to_levels(golden_predicted() % 8), TRELLIS_4096))


def units_trellis():
    """Uniform indices, along the trellis."""
    return levels_to_symbols(trellis_levels(symbols_to_levels(golden_units().reshape(32, 100) % 72), TRELLIS_4096))


GOLDEN = {
    "context-trellis.bin": (golden_trellis, TRELLIS + UNIT_BITS),
    "context-units.bin": (golden_units, 5 * UNIT_BITS),
    "context-predicted.bin": (golden_predicted, PREDICTION),
    "context-predicted-trellis.bin": (predicted_trellis, TRELLIS + PREDICTION),
    "context-units-trellis.bin": (units_trellis, TRELLIS + 2 * UNIT_BITS),
}
each_golden = pytest.mark.parametrize(("symbols", "expected"), [(made(), number) for made, number in GOLDEN.values()])


@pytest.fixture(scope="module")
def real_levels():
    """A 3x3 layer of SqueezeNet v1.1 on levels, with a step for each row."""
    weights = EmbeddedWeights().load().tensors["features.11.expand3x3.weight"].to_dense()
    step = np.abs(weights).mean(axis=(1, 2, 3), keepdims=True)
    return np.rint(weights / step).astype(np.int32)


def test_a_worked_example_has_these_bytes():
    symbols = np.array([[0, 1, 0, 2], [0, 3, 1, 0]], np.uint16)
    assert context.encode(symbols) == bytes.fromhex("48 8c ad 68")


@pytest.mark.parametrize("shape", [(3000,), (20, 150), (30, 4, 5, 5), (3, 10, 100), (), (2, 0)])
def test_a_reader_written_from_the_description_decodes_it(shape):
    symbols = check.golden_symbols()[: int(np.prod(shape))].reshape(shape)
    assert (
        context_reference_decoder.decode(context.encode(symbols), shape) == symbols_to_levels(symbols).ravel().tolist()
    )


def test_a_reader_written_from_the_description_decodes_large_symbols_and_all_options():
    large = (check.golden_symbols()[:600].astype(np.int64) * 2221 % 65536).astype(np.uint16).reshape(10, 60)
    for symbols in (large, *(made() for made, _ in GOLDEN.values())):
        decoded = context_reference_decoder.decode(context.encode(symbols), symbols.shape)
        assert decoded == symbols_to_levels(symbols).ravel().tolist()


@pytest.mark.parametrize("file", GOLDEN)
def test_published_bytes_are_written_and_read_for_ever(file):
    golden, (made, expected) = (check.GOLDEN / file).read_bytes(), GOLDEN[file]
    np.testing.assert_array_equal(context.decode(golden, made().shape), made())
    assert context.encode(made()) == golden
    assert options(golden) == expected


def test_levels_along_the_trellis_take_fewer_bytes_than_levels_that_leave_it():
    symbols = golden_trellis()
    broken = symbols.copy()
    broken[0, 0, 0, 0] = 1  # an odd level in state 0, which has even levels only
    with_trellis, without = context.encode(symbols), context.encode(broken)
    assert options(with_trellis) & TRELLIS
    assert not options(without) & TRELLIS
    assert len(with_trellis) < 0.9 * len(without)


def test_many_zeros_take_the_trellis_too():
    assert context.encode(np.zeros((100, 100), np.uint16))[0] == TRELLIS


def test_coded_symbols_are_the_indices_of_a_trellis():
    symbols = golden_trellis()
    coded = context.coded_symbols(context.encode(symbols), symbols)
    indices = symbols_to_levels(check.golden_symbols()[:1152] % 40).reshape(16, 72)
    np.testing.assert_array_equal(symbols_to_levels(coded), indices)


def test_another_order_is_of_no_use_with_a_trellis():
    assert context.depends_on_order(context.encode(golden_units()))
    assert not context.depends_on_order(context.encode(golden_trellis()))


@each_golden
def test_a_stream_with_options_cut_anywhere_or_too_long_is_refused(symbols, expected):
    few = symbols[: 16 if expected & PREDICTION else 4]
    assert options(context.encode(few)) & 3 == expected & 3
    check.check_truncation(context, few)
    check.check_damage(context, few if expected & PREDICTION else few[:2, :2])


@given(arrays.arrays(np.int32, shapes.filter(len), elements=st.integers(-300, 300)), st.integers(1, 100))
def test_large_magnitudes_come_back_with_a_trellis_and_without(indices, times):
    levels = times * indices.reshape(len(indices), int(np.prod(indices.shape[1:])))
    for trellis in (NO_TRELLIS, TRELLIS_4096):
        check.check_round_trip(context, levels_to_symbols(trellis_levels(levels // 2, trellis)).reshape(indices.shape))
    check.check_round_trip(context, levels_to_symbols(levels).reshape(indices.shape))


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
    symbols = levels_to_symbols(real_levels)
    coded = len(check.check_round_trip(context, symbols))
    assert coded < 0.9 * entropy_bytes(symbols)
    assert coded < 0.9 * min(len(huffman.encode(symbols)), len(CODECS["huffman-runs"].encode(symbols)))


def test_correlated_channels_are_predicted_and_take_fewer_bytes(real_levels):
    symbols = levels_to_symbols(real_levels)
    signs = np.random.default_rng(0).choice([-1, 1], real_levels.shape).astype(np.int32)
    independent = levels_to_symbols(real_levels * signs)
    assert options(context.encode(symbols)) & PREDICTION
    assert not options(context.encode(independent)) & PREDICTION


def test_the_shape_of_a_real_layer_is_made_use_of(real_levels):
    symbols = levels_to_symbols(real_levels)
    assert len(context.encode(symbols)) < 0.97 * len(context.encode(symbols.ravel()))


@pytest.mark.parametrize(
    ("data", "shape", "problem"),
    [
        (b"", (4,), "no mean magnitude"),
        (b"\x48\x8c\xad\x68\x00", (2, 4), "left over"),
        (b"\x48\x8c\xad", (2, 4), "too early|final bytes"),
        (b"\x48\x8c\xad\x69", (2, 4), "final bytes"),
        (b"\x00", (), "too early"),
        (b"\x00\x80", (0, 5), "left over"),
        *((bytes([48 + number]) + bytes(40), (4,), "out of range") for number in range(24)),
        *((bytes([number]), (4,), "at most 239") for number in range(240, 256)),
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
    assert context.decode(b"\x00", (0, 1 << 40)).shape == (0, 1 << 40)
