import check
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.codecs import CODECS, entropy_bytes
from compress.codecs.huffman import _optimal_bits, huffman_bytes, min_huffman_bytes
from compress.codecs.primitives.prefix_code import MAX_LENGTH, PrefixCode, _package_merge
from compress.errors import FormatError

huffman = CODECS["huffman"]


def bits(*parts):
    text = "".join(parts).replace(" ", "")
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


def code_of(counts):
    return PrefixCode.from_counts(np.array(counts))


def codewords(code):
    table = code.encoding_table()
    return {symbol: f"{table[symbol] >> 5:0{table[symbol] & 31}b}" for symbol in code.symbols.tolist()}


def test_a_worked_example_has_these_codewords():
    assert codewords(code_of([4, 2, 1, 1])) == {0: "0", 1: "10", 2: "110", 3: "111"}


def test_a_worked_example_has_these_bytes():
    #           five less one  0 absent, 4 present  length 1   same   +1    +1   same
    code = bits("00101",      "1 00100",           "0000",    "0",   "100", "100", "0")  # fmt: skip
    coded = bits("0 10 0 110 0 111 10 0")
    symbols = check.symbols_of([0, 1, 0, 2, 0, 3, 1, 0])
    assert huffman.encode(symbols) == code + coded
    np.testing.assert_array_equal(huffman.decode(code + coded, (8,)), symbols)


def test_ties_break_by_symbol_index():
    assert codewords(code_of([5, 5, 5, 5])) == {0: "00", 1: "01", 2: "10", 3: "11"}
    assert codewords(code_of([1, 1, 2, 2, 2])) == codewords(code_of([1, 1, 2, 2, 2]))


def test_shorter_codewords_come_first_then_lower_symbols():
    code = code_of([1, 8, 0, 1, 8])
    ordered = sorted(codewords(code).items(), key=lambda item: (len(item[1]), item[0]))
    assert [word for _, word in ordered] == sorted(word for _, word in ordered)


def test_one_symbol_takes_no_bits():
    assert len(huffman.encode(check.symbols_of([9] * 100_000))) == len(huffman.encode(check.symbols_of([9])))


@given(st.lists(st.integers(0, 10**6), max_size=80))
def test_the_bits_of_a_code_are_known_without_it(numbers):
    counts = np.array(numbers, dtype=np.int64)
    code = code_of(counts)
    if code.lengths.max(initial=0) < MAX_LENGTH:
        assert _optimal_bits(np.sort(counts[counts > 0])) == code.bits(counts)
    assert min_huffman_bytes(counts) <= huffman_bytes(counts) <= min_huffman_bytes(counts) + 3 * code.symbols.size + 3


def test_nothing_is_read_of_a_code_without_symbols():
    nothing = check.symbols_of([])
    for _ in range(100):  # there is no table then, and no compiled code may look into it
        assert huffman.decode(huffman.encode(nothing), (0,)).size == 0


def test_absent_symbols_cost_a_few_bits():
    assert len(huffman.encode(check.symbols_of([0, 60_000] * 4))) <= 7 + 1


def fibonacci_counts(length):
    counts = [1, 1]
    while len(counts) < length:
        counts.append(counts[-1] + counts[-2])
    return counts


def test_codewords_are_never_longer_than_16_bits():
    code = code_of(fibonacci_counts(30))
    assert code.lengths.max() == MAX_LENGTH
    assert np.sum(2.0**-code.lengths) == 1


@given(st.lists(st.integers(1, 10**6), min_size=2, max_size=80))
def test_package_merge_is_as_good_as_huffman_where_the_limit_does_not_bind(counts):
    code = code_of(counts)
    if code.lengths.max() < MAX_LENGTH:
        merged = _package_merge(np.array(counts), MAX_LENGTH)
        assert merged @ np.array(counts) == code.bits(np.array(counts))


def test_package_merge_finds_the_best_code_of_a_worked_example():
    # Without a limit 1, 2, 3, 4, 4 bits; with 3 bits at most, the two most frequent symbols pay for the rest.
    np.testing.assert_array_equal(_package_merge(np.array([50, 20, 10, 5, 5]), 3), [1, 3, 3, 3, 3])


@given(st.lists(st.integers(0, 40), min_size=1, max_size=3000))
def test_mean_bits_are_within_one_of_the_entropy(numbers):
    symbols = check.symbols_of(numbers)
    counts = np.bincount(symbols)
    mean = code_of(counts).bits(counts) / len(symbols)
    entropy = 8 * entropy_bytes(symbols) / len(symbols)
    assert entropy - 1e-9 <= mean < entropy + 1


@given(st.dictionaries(st.integers(0, 65535), st.integers(1, 10**5), max_size=60))
def test_a_code_comes_back_from_its_bytes(frequencies):
    counts = np.zeros(65536, dtype=np.int64)
    counts[list(frequencies)] = list(frequencies.values())
    code = PrefixCode.from_counts(counts)
    again, end = PrefixCode.from_bytes(code.to_bytes() + b"\xff")
    assert end == len(code.to_bytes())
    np.testing.assert_array_equal(again.symbols, code.symbols)
    np.testing.assert_array_equal(again.lengths, code.lengths)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "cut off"),
        (bits("1"), "no symbols"),
        # three symbols of 1, 1 and 1 bits; of 2, 2 and 2 bits
        (bits("00100", "1 011", "0000 0 0 0"), "not make a complete prefix code"),
        (bits("00100", "1 011", "0001 0 0 0"), "not make a complete prefix code"),
        (bits("00100", "1 011", "0000 11 0"), "codeword of 0 bits"),
        (bits("00100", "1 011", "1111 10 0"), "codeword of 17 bits"),
        (bits("00100", "1 011", "0000 10 11 0"), "both ways"),
        (bits("010", "1 010"), "more symbols than it has"),
        (bits("0" * 24), "131,071"),
        (bits("010", "0" * 16 + "10000000000000001", "1"), "at most 65,535"),
    ],
)  # fmt: skip
def test_other_codes_are_refused(data, problem):
    with pytest.raises(FormatError, match=problem):
        huffman.decode(data, (4,))


def test_padding_that_is_not_zero_is_refused():
    data = huffman.encode(check.symbols_of([0, 1, 2, 0]))
    with pytest.raises(FormatError, match="padding after the last codeword"):
        huffman.decode(data[:-1] + bytes([data[-1] | 1]), (4,))
    one = huffman.encode(check.symbols_of([4]))
    with pytest.raises(FormatError, match="padding after the code"):
        huffman.decode(one[:-1] + bytes([one[-1] | 1]), (1,))


def test_a_count_that_the_bits_cannot_hold_is_refused_before_memory_is_taken():
    data = huffman.encode(check.symbols_of([0, 1, 2]))
    with pytest.raises(FormatError, match="too early"):
        huffman.decode(data, (1 << 50,))
