import check
import numpy as np
import pytest

from compress.codecs import CODECS
from compress.codecs.zero_runs import _encode
from compress.errors import FormatError

runs, huffman = CODECS["huffman-runs"], CODECS["huffman"]

# Figure 2 of Deep Compression: weights at 1, 4 and 15, a gap field of 3 bits, an entry filled in at 12.
FIGURE_2 = check.symbols_of([0, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3])


def stream(gap_bits, gaps, symbols, entries=None):
    gap_stream = huffman.encode(check.symbols_of(gaps))
    head = bytes([gap_bits, len(gaps) if entries is None else entries, len(gap_stream)])
    return head + gap_stream + huffman.encode(check.symbols_of(symbols))


def test_the_example_of_the_paper_has_these_entries():
    expected = stream(3, [1, 2, 7, 2], [1, 2, 0, 3])
    assert _encode(FIGURE_2, 3) == expected
    np.testing.assert_array_equal(runs.decode(expected, (16,)), FIGURE_2)


def test_zeros_after_the_last_entry_are_implied():
    data = runs.encode(check.symbols_of([0, 0, 5]))
    np.testing.assert_array_equal(runs.decode(data, (10,)), [0, 0, 5, 0, 0, 0, 0, 0, 0, 0])


@pytest.mark.parametrize("gap_bits", range(2, 9))
@pytest.mark.parametrize("zeros", [0, 3, 4, 5, 255, 256, 257, 1000])
def test_every_gap_field_bridges_any_number_of_zeros(gap_bits, zeros):
    symbols = check.symbols_of([0] * zeros + [1, 2])
    np.testing.assert_array_equal(runs.decode(_encode(symbols, gap_bits), (len(symbols),)), symbols)


def test_the_gap_field_with_the_fewest_bytes_is_taken():
    symbols = check.golden_symbols()
    assert len(runs.encode(symbols)) == min(len(_encode(symbols, gap_bits)) for gap_bits in range(2, 9))


def test_position_bytes_are_those_of_head_and_gaps():
    data = stream(3, [1, 2, 7, 2], [1, 2, 0, 3])
    assert len(data) - runs.position_bytes(data) == len(huffman.encode(check.symbols_of([1, 2, 0, 3])))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "no bits of the gap field"),
        (stream(1, [1], [1]), "no bits of the gap field"),
        (stream(9, [1], [1]), "no bits of the gap field"),
        (stream(2, [4], [1]), "a gap of 4"),
        (stream(3, [7, 7, 7], [0, 0, 1]), "beyond the last symbol"),
        (stream(3, [1] * 17, [1] * 17), "17 entries"),
        (stream(3, [1, 2], [1, 2], entries=12), "too early"),
        (bytes([3, 1, 200, 1]), "200 bytes of gaps|does not end"),
        (bytes([3, 0x81, 0, 0]), "more bytes than it needs"),
        (bytes([3]) + b"\xff" * 12, "does not end"),
    ],
)
def test_other_streams_are_refused(data, problem):
    with pytest.raises(FormatError, match=problem):
        runs.decode(data, (16,))
