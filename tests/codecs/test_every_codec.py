import re
from pathlib import Path

import check
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from compress.codecs import CODECS, CODECS_BY_ID, entropy_bytes

every_codec = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
small_symbols = check.symbols_of([3, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 1, 1, 0, 9, 0])


def test_no_two_codecs_share_an_id():
    assert all(CODECS_BY_ID[codec.id] is codec for codec in CODECS.values())


def test_the_format_lists_each_codec_with_its_id_and_no_other():
    text = (Path(__file__).parents[2] / "docs/format.md").read_text()
    table = text.partition("\n## Codecs\n")[2].partition("\n### ")[0]
    listed = re.findall(r"^\| (\d+) \| `([^`]+)` \|", table, re.MULTILINE)
    assert sorted((int(codec_id), name) for codec_id, name in listed) == sorted(
        (codec.id, codec.name) for codec in CODECS.values()
    )


@every_codec
@pytest.mark.parametrize("numbers", check.EDGES.values(), ids=check.EDGES)
def test_edges_come_back(codec, numbers):
    check.check_round_trip(codec, check.symbols_of(numbers))


@every_codec
@given(numbers=st.lists(st.one_of(st.just(0), st.integers(0, 20), st.integers(0, 65535)), max_size=600))
def test_all_symbols_come_back(codec, numbers):
    check.check_round_trip(codec, check.symbols_of(numbers))


@every_codec
@given(
    symbols=arrays.arrays(
        np.uint16,
        arrays.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=5),
        elements=st.one_of(st.just(0), st.integers(0, 20), st.integers(0, 65535)),
    )
)
def test_symbols_of_any_shape_come_back(codec, symbols):
    check.check_round_trip(codec, symbols)


@every_codec
def test_slices_and_read_only_arrays_encode_as_copies_do(codec):
    symbols = check.golden_symbols()
    symbols.flags.writeable = False
    for part in (symbols[::3], symbols.reshape(30, 5, 20)[:, ::2].swapaxes(0, 2)):
        assert codec.encode(part) == codec.encode(part.copy())


@every_codec
def test_published_bytes_are_written_and_read_for_ever(codec):
    check.check_golden(codec)


@every_codec
def test_a_stream_cut_anywhere_or_too_long_is_refused(codec):
    check.check_truncation(codec, small_symbols)
    check.check_truncation(codec, small_symbols.reshape(2, 2, 2, 2))


@every_codec
def test_a_flipped_bit_is_an_error_or_other_symbols(codec):
    check.check_damage(codec, small_symbols)


@every_codec
@given(data=st.binary(max_size=60), shape=arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9))
def test_any_bytes_are_symbols_or_a_format_error(codec, data, shape):
    check.check_decodes_or_refuses(codec, data, shape)


@every_codec
@given(
    numbers=st.lists(st.one_of(st.just(0), st.integers(0, 3), st.integers(0, 900)), max_size=300),
    last=st.lists(st.integers(0, 3), max_size=5),
    repeats=st.sampled_from([0, 1, 2000]),
)
def test_no_codec_takes_fewer_bytes_than_its_lower_bound(codec, numbers, last, repeats):
    symbols = check.symbols_of(numbers + last * repeats)
    for each in (symbols, np.sort(symbols), np.sort(symbols)[::-1]):
        assert codec.candidate(each).min_bytes <= len(codec.encode(each))


def test_entropy_counts_the_information_of_the_frequencies():
    assert entropy_bytes(check.symbols_of([])) == 0
    assert entropy_bytes(check.symbols_of([5] * 80)) == 0
    assert entropy_bytes(check.symbols_of([0, 1] * 40)) == 80 / 8
    assert entropy_bytes(check.symbols_of([0, 0, 1, 2] * 8)) == 8 * (2 * 1 + 2 * 2) / 8
