import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.codecs.primitives.range_coder import (
    OUTPUT_MARGIN_BYTES,
    Stream,
    check_end,
    code_bit,
    finish,
    min_coded_bytes,
)
from compress.errors import FormatError

coded = st.lists(st.tuples(st.integers(0, 1), st.integers(32, 65504)), max_size=300)


def coded_in(stream, bit, probability):
    coder, bit = code_bit(tuple(stream.place.tolist()), stream.data, bit, probability)
    stream.place[:] = coder
    return bit


def encoded(bits):
    stream = Stream.to_write(2 * len(bits) + OUTPUT_MARGIN_BYTES)
    for bit, probability in bits:
        coded_in(stream, bit, probability)
    return finish(stream)


def decoded(data, probabilities):
    stream = Stream.to_read(data, 0)
    bits = [coded_in(stream, 0, probability) for probability in probabilities]
    check_end(stream)
    return bits


def test_a_worked_example_has_these_bytes():
    # The lower half of 2 ** 32, then its upper three quarters: 0x20000000 to 0x7FFFFFFF. All numbers that begin with
    # 0x20 are inside.
    assert encoded([(1, 1 << 15), (0, 1 << 14)]) == b"\x20"
    assert decoded(b"\x20", [1 << 15, 1 << 14]) == [1, 0]


def test_no_bits_take_no_bytes():
    assert encoded([]) == b""
    decoded(b"", [])


@given(coded)
def test_bits_come_back(bits):
    assert decoded(encoded(bits), [probability for _, probability in bits]) == [bit for bit, _ in bits]


@given(coded)
def test_a_stream_takes_the_bits_that_its_probabilities_say(bits):
    ideal = sum(-math.log2((p if bit else 65536 - p) / 65536) for bit, p in bits)
    # The interval's parts are rounded by up to 1 in 257.
    assert 0.99 * ideal / 8 - 0.5 <= len(encoded(bits)) <= 1.01 * ideal / 8 + 2


def test_a_carry_goes_through_any_number_of_bytes():
    # Zeros keep the start of the interval just below a carry; a one of low probability narrows it.
    random = np.random.default_rng(0)
    for _ in range(300):
        bits = [
            (int(bit), int(p)) for bit, p in zip(random.random(200) < 0.02, random.integers(32, 60, 200), strict=True)
        ]
        assert decoded(encoded(bits), [p for _, p in bits]) == [bit for bit, _ in bits]


@given(coded.filter(len), st.binary(min_size=1, max_size=3))
def test_no_stream_is_the_beginning_of_another(bits, more):
    data, probabilities = encoded(bits), [probability for _, probability in bits]
    for other in (data[:-1], data + more):
        if other != data:
            with pytest.raises(FormatError):
                decoded(other, probabilities)


@given(st.integers(0, 3000))
def test_bits_never_take_fewer_bytes_than_the_bound(count):
    assert min_coded_bytes(count, 32) <= len(encoded([(0, 32)] * count))
    assert min_coded_bytes(count, 32) <= len(encoded([(1, 65504)] * count))
