"""Coded float values: round trips, sizes and refusals."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from compress.codecs import CODECS
from compress.codecs.primitives.varint import encode_varint
from compress.container.float_planes import _encode_planes, decode_values, encode_values
from compress.errors import FormatError, PassError
from compress.weights.embedded_weights import EmbeddedWeights


def floats(bits):
    return arrays.arrays(
        np.float32,
        st.integers(0, 80),
        elements=st.floats(width=bits, allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, -0.0, 1.0, 1.5]),
    )


CONTEXT, HUFFMAN = CODECS["context"], CODECS["huffman"]


def check_round_trip(values, stored_as, codec=CONTEXT):
    data, coded = encode_values("w", values, stored_as, codec)
    decoded = decode_values(data, stored_as, len(values), coded=coded)
    assert decoded.tobytes() == values.tobytes()
    return data, coded


@given(
    st.sampled_from([("float32", 32), ("float16", 16)]).flatmap(lambda kind: st.tuples(st.just(kind), floats(kind[1]))),
    st.sampled_from([CONTEXT, HUFFMAN]),
)
def test_values_round_trip_exactly(drawn, codec):
    (stored_as, _), values = drawn
    check_round_trip(values, stored_as, codec)


@given(
    arrays.arrays(np.uint16, st.integers(0, 50)) | arrays.arrays(np.uint32, st.integers(0, 50)),
    st.integers(0, 2),
    st.sampled_from([CONTEXT, HUFFMAN]),
)
def test_differences_of_any_bits_round_trip(bits, distance, codec):
    stored_as = {2: "float16", 4: "float32"}[bits.itemsize]
    finite = np.isfinite(bits.view(stored_as))
    bits = bits[finite]
    decoded = decode_values(_encode_planes(bits, distance, codec), stored_as, len(bits), coded=True)
    assert decoded.astype(stored_as).tobytes() == bits.tobytes()


def test_a_worked_example_has_these_bytes():
    # 1.5 and 2 are 3E00 and 4000 in float16; as differences 3E00 and 0200, in zigzag 7C00 and 0400.
    bits = np.array([0x3E00, 0x4000], np.uint16)
    assert _encode_planes(bits, 0, CONTEXT) == bytes([0, 0x3E, 0x40, 0, 0])
    assert _encode_planes(bits, 1, CONTEXT) == bytes([1, 0x7C, 0x04, 0, 0])


def test_an_ascending_codebook_is_much_smaller_coded():
    ascending = np.linspace(-1, 1, 255, dtype=np.float32)
    assert len(check_round_trip(ascending, "float32")[0]) < 0.8 * 255 * 4


def test_alternating_signs_cost_no_more_than_an_ascending_codebook():
    magnitudes = np.linspace(0.01, 1, 120, dtype=np.float32)
    in_turn = np.stack([magnitudes, -magnitudes * np.float32(1.01)], axis=1).ravel()
    data, coded = check_round_trip(in_turn, "float32")
    assert coded
    assert data[0] & 3 == 2
    assert len(data) < 0.8 * 240 * 4


def test_biases_of_a_real_network_are_smaller_coded():
    for name, tensor in EmbeddedWeights().load().tensors.items():
        if name.endswith("bias") and tensor.values.size >= 128:
            values = tensor.values.astype(np.float16).astype(np.float32)
            data, coded = check_round_trip(values, "float16")
            assert coded
            assert len(data) < 0.95 * 2 * len(values)


def test_values_are_plain_where_coding_saves_nothing():
    random = np.random.default_rng(0).integers(0, 1 << 16, 20).astype(np.uint16).view(np.float16)
    data, coded = check_round_trip(np.nan_to_num(random, posinf=1, neginf=1).astype(np.float32), "float16")
    assert not coded
    assert len(data) == 40


def test_a_codebook_is_smaller_by_huffman_codes():
    # Values near one step apart, as `share` leaves them: exponents repeat, the last bits do not.
    steps = np.random.default_rng(0).uniform(0.8, 1.2, 140).cumsum() - 70
    values = steps.astype(np.float16).astype(np.float32)
    data, coded = check_round_trip(values, "float16", HUFFMAN)
    assert coded
    assert len(data) < 0.7 * 2 * len(values)


@pytest.mark.parametrize("codec", [CONTEXT, HUFFMAN, None])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused(codec, bad):
    with pytest.raises(PassError, match="tensor w: a value is not finite"):
        encode_values("w", np.array([1, bad], np.float32), "float32", codec)


def plane(*symbols, codec=CONTEXT):
    stream = codec.encode(np.array(symbols, np.uint16))
    return encode_varint(len(stream)) + stream


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "no coded values"),
        (b"\x03\0\0\0\0", "no coded values"),
        (b"\x10\0\0\0\0", "no coded values"),
        (b"\0\x3c\x3c\0", "cut off"),
        (b"\0\x3c\x3c\0\0\0", "left over"),
        (b"\x04\xff\xff\x7f\0\0", "cut off"),
        (b"\x04\x80", "does not end"),
        (b"\x04" + plane(0x3C, 0x13C) + b"\0\0", "a byte of 316"),
        (b"\x04" + plane(*range(0x3C)) + b"\0\0", "left over|closed"),
        (b"\x44" + plane(0x3C, 0x13C, codec=HUFFMAN) + b"\0\0", "a byte of 316"),
        (b"\x80\0\0\0\0", "no coded values"),
        (b"\0\x3c\x7c\0\0", "not finite"),
    ],
)
def test_other_bytes_are_refused(data, problem):
    with pytest.raises(FormatError, match=problem) as caught:
        decode_values(data, "float16", 2, coded=True)
    assert 0 <= caught.value.offset <= len(data)


@given(st.binary(max_size=40), st.integers(0, 10), st.sampled_from(["float16", "float32"]))
def test_any_bytes_give_values_or_a_format_error(data, count, stored_as):
    with contextlib.suppress(FormatError):
        values = decode_values(data, stored_as, count, coded=True)
        assert (values.dtype, values.shape) == (np.float32, (count,))


def test_a_count_beyond_the_bytes_is_refused_before_allocation():
    for data in (b"\0\0\0", b"\x0c\x04\x14\0\0\0\x04\x14\0\0\0"):
        with pytest.raises(FormatError):
            decode_values(data, "float16", 1 << 40, coded=True)
