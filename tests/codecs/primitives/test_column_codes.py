import check
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from test_huffman import bits

from compress.codecs import CODECS
from compress.codecs.primitives.column_codes import decode_columns, encode_columns
from compress.codecs.primitives.column_groups import Grouping
from compress.errors import FormatError

huffman = CODECS["huffman"]

# Rows 0 5, 1 5 and 0 5. Column 0 takes code 0, of the symbols 0 and 1; column 1 takes code 1, of the symbol 5.
TWO_SYMBOLS = bits("011", "1 010", "0000", "0", "0")
ONLY_FIVE = bits("010", "00110", "1")
EXAMPLE = b"\x82" + TWO_SYMBOLS + ONLY_FIVE + bits("01") + bits("010")


def grouped(symbols, group, groups):
    columns = np.moveaxis(symbols, 1, 0).reshape(len(group), -1)
    counts = [np.bincount(columns[group == index].ravel(), minlength=symbols.max() + 1) for index in range(groups)]
    return Grouping(group.astype(np.uint8), np.array(counts))


def test_a_worked_example_has_these_bytes():
    symbols = np.array([[0, 5], [1, 5], [0, 5]], np.uint16)
    assert encode_columns(symbols, grouped(symbols, np.array([0, 1]), 2)) == EXAMPLE
    np.testing.assert_array_equal(huffman.decode(EXAMPLE, (3, 2)), symbols)


@given(
    arrays.arrays(np.uint16, st.tuples(*(st.integers(1, 6) for _ in range(4))), elements=st.integers(0, 40)),
    st.integers(2, 4),
    st.randoms(use_true_random=False),
)
def test_symbols_round_trip_in_any_groups(symbols, groups, random):
    group = np.array([random.randrange(groups) for _ in range(symbols.shape[1])])
    group = np.unique(group, return_inverse=True)[1]
    if group.max() > 0:
        data = encode_columns(symbols, grouped(symbols, group, group.max() + 1))
        np.testing.assert_array_equal(decode_columns(data, symbols.shape), symbols)


def test_columns_that_differ_have_their_own_codes_where_that_is_shorter():
    random = np.random.default_rng(0)
    spread, mostly_zero = random.integers(0, 16, (300, 8)), random.integers(0, 16, (300, 8)) // 15
    symbols = np.concatenate([spread, mostly_zero], axis=1).astype(np.uint16)
    data = huffman.encode(symbols)
    assert data[0] == 0x82
    assert len(data) < 0.9 * len(huffman.encode(symbols.ravel()))
    np.testing.assert_array_equal(huffman.decode(data, symbols.shape), symbols)
    few = symbols[:3]
    assert huffman.encode(few)[0] < 0x80  # a second table costs more than it saves


def test_prices_are_those_of_the_code_of_the_column():
    counts = np.array([[900, 50, 50], [200, 500, 300]])
    rare, spread = huffman.symbol_bits(np.repeat(counts, 50, axis=0), 0)[[0, -1]]
    np.testing.assert_array_equal(rare, [1, 2, 2])
    np.testing.assert_array_equal(spread, [2, 1, 2])


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\x81" + EXAMPLE[1:], "1 codes"),
        (b"\x85" + EXAMPLE[1:], "5 codes"),
        (b"\x82", "cut off"),
        (b"\x82" + TWO_SYMBOLS, "cut off"),
        (b"\x82" + TWO_SYMBOLS + bits("1"), "no symbols"),
        (b"\x82" + TWO_SYMBOLS + ONLY_FIVE, "codes of columns are cut off"),
        (b"\x82" + TWO_SYMBOLS + ONLY_FIVE + bits("011") + bits("010"), "padding after the codes of columns"),
        (b"\x83" + TWO_SYMBOLS + ONLY_FIVE * 2 + bits("0011") + bits("010"), "code 3"),
        (EXAMPLE[:-1], "too early"),
        (EXAMPLE + b"\0", "left over"),
        (EXAMPLE[:-1] + bits("0101"), "padding after the last codeword"),
    ],
)
def test_other_streams_are_refused(data, problem):
    with pytest.raises(FormatError, match=problem) as caught:
        huffman.decode(data, (3, 2))
    assert 0 <= caught.value.offset <= len(data)


@pytest.mark.parametrize("shape", [(0,), (0, 2), (2, 0)])
def test_no_symbols_have_no_codes_by_column(shape):
    with pytest.raises(FormatError, match="for no symbols"):
        huffman.decode(b"\x82" + ONLY_FIVE * 2 + bits("00"), shape)
    assert huffman.decode(huffman.encode(check.symbols_of([])), (0,)).size == 0
