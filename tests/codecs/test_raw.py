import check
import pytest

from compress.codecs import CODECS
from compress.errors import FormatError

raw = CODECS["raw"]


def test_symbols_take_the_bits_of_the_largest_most_significant_first():
    assert raw.encode(check.symbols_of([1, 2, 7, 0])) == bytes([3, 0b00101011, 0b10000000])


def test_zeros_take_no_bits():
    assert raw.encode(check.symbols_of([0] * 100)) == b"\0"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "empty"),
        (b"\x11\0\0\0", "17 bits"),
        (bytes([3, 0b00101011, 0b10000001]), "padding"),
        (bytes([3, 0b00101011, 0b10000000, 0]), "left over"),
        (bytes([3, 0b00101011]), "too early"),
    ],
)
def test_other_streams_are_refused(data, problem):
    with pytest.raises(FormatError, match=problem):
        raw.decode(data, (4,))
