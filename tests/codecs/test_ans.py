"""The codec as docs/format.md has it, beside a decoder written from that page with whole numbers alone."""

from __future__ import annotations

import check
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.codecs import CODECS, entropy_bytes
from compress.codecs.ans import frequencies
from compress.codecs.primitives.varint import decode_varint, encode_varint
from compress.errors import FormatError
from compress.networks.weight_sources import Embedded
from compress.tensors.levels import zigzag_symbols

ANS, CONTEXT = CODECS["ans"], CODECS["context"]

WORKED = check.symbols_of([0, 1, 0, 2, 0, 3, 1, 0])


def by_the_book(data, count):
    head, at = decode_varint(data, 0)
    heights_count, back, parts = head // 12, head // 4 % 3, 2 ** (head % 4)
    coded_bytes, at = decode_varint(data, at)
    coded = data[at : at + coded_bytes]
    heights = []
    for place, step in enumerate(CONTEXT.decode(data[at + coded_bytes :], (heights_count,)).tolist()):
        before = heights[place - back] if back and place >= back else 0
        heights.append(before + (-(step + 1) // 2 if step % 2 else step // 2))

    eighths = [
        274877906944, 252064152055, 231143846582, 211959841877, 194368031998, 178236271212, 163443381347, 149878241531
    ]  # fmt: skip
    used = [symbol for symbol, height in enumerate(heights) if height]
    if len(used) < 2:
        return used * count
    down = [(max(heights) - heights[s]) * 8 // parts for s in used]
    shares = [eighths[eighth % 8] >> (eighth // 8) for eighth in down]
    sizes = [1 + (2**24 - len(used)) * share // sum(shares) for share in shares]
    sizes[max(range(len(used)), key=lambda i: (heights[used[i]], -i))] += 2**24 - sum(sizes)

    words = [int.from_bytes(coded[i : i + 4], "little") for i in range(0, len(coded), 4)]
    state, symbols = 0, []
    while words and state < 2**32:
        state = state << 32 | words.pop()
    for _ in range(count):
        place, which, below = state % 2**24, 0, 0
        while place >= below + sizes[which]:
            below += sizes[which]
            which += 1
        symbols.append(used[which])
        state = state // 2**24 * sizes[which] + place - below
        if state < 2**32 and words:
            state = state << 32 | words.pop()
    assert (state, words) == (0, [])
    return symbols


def test_a_worked_example_has_these_bytes():
    assert ANS.encode(WORKED).hex(" ") == "30 05 00 00 00 bb 04 22 50 52"


@given(st.lists(st.one_of(st.just(0), st.integers(0, 20), st.integers(0, 400)), max_size=300))
def test_a_decoder_written_from_the_page_reads_it(numbers):
    symbols = check.symbols_of(numbers)
    assert by_the_book(ANS.encode(symbols), symbols.size) == numbers


def test_the_golden_stream_is_read_by_the_book():
    golden = (check.GOLDEN / "ans.bin").read_bytes()
    assert by_the_book(golden, 3000) == check.golden_symbols().tolist()


@given(st.lists(st.integers(1, 255), min_size=1, max_size=300), st.integers(0, 3))
def test_frequencies_are_whole_and_leave_nothing_out(heights, fineness):
    sizes = frequencies(np.array(heights), fineness)
    assert sizes.min() >= 1
    assert sizes.sum() == 2**24
    others = np.delete(sizes, np.argmax(heights))  # but the one that takes what is left over
    by_height = np.argsort(np.delete(heights, np.argmax(heights)), kind="stable")
    assert np.all(np.diff(others[by_height]) >= 0)


def test_every_symbol_there_is_may_be_in_use():
    sizes = frequencies(np.full(65536, 255), 3)
    assert sizes.min() >= 1
    assert sizes.sum() == 2**24


def test_levels_of_a_real_network_take_their_entropy_and_half_a_percent():
    taken = ideal = 0.0
    for tensor in Embedded().load().tensors.values():
        weights = tensor.to_dense()
        if weights.ndim > 1:
            symbols = zigzag_symbols(np.rint(weights / (0.4 * weights.std())).astype(np.int32))
            taken += len(ANS.encode(symbols))
            ideal += entropy_bytes(symbols)
    assert taken < 1.005 * ideal


def test_more_symbols_than_are_coded_in_one_go_come_back():
    symbols = np.tile(check.golden_symbols(), 800)
    check.check_round_trip(ANS, symbols)


def parts():
    data = ANS.encode(WORKED)
    head, at = decode_varint(data, 0)
    coded_bytes, start = decode_varint(data, at)
    return head // 12, head % 12, data[start : start + coded_bytes], data[start + coded_bytes :]


def joined(count, how, coded, table):
    return encode_varint(12 * count + how) + encode_varint(len(coded)) + coded + table


def heights_of(*steps):
    return CONTEXT.encode(check.symbols_of(steps))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda count, how, coded, table: (1 << 17, how, coded, table), "131,072 heights"),
        (lambda count, how, coded, table: (count, how, coded, table + b"\0"), "left over"),
        (lambda count, how, coded, table: (1, 0, coded, heights_of(1)), "out of range"),
        (lambda count, how, coded, table: (1, 0, coded, heights_of(512)), "out of range"),
        (lambda count, how, coded, table: (2, 4, coded, heights_of(2, 1)), "the last not 0"),
        (lambda count, how, coded, table: (1, 0, coded, heights_of(2)), "one symbol is in use"),
        (lambda count, how, coded, table: (0, 0, b"", heights_of()), "no symbol is in use"),
        (lambda count, how, coded, table: (count, how, coded + b"\0", table), "zeros after the coded bytes"),
        (lambda count, how, coded, table: (count, how, coded + b"\1\2\3\4", table), "left over"),
        (lambda count, how, coded, table: (count, how, coded[:-1] + b"\x7f", table), "left over"),
    ],
)
def test_a_stream_that_lies_is_refused(change, said):
    with pytest.raises(FormatError, match=said):
        ANS.decode(joined(*change(*parts())), WORKED.shape)


def test_coded_bytes_beyond_the_stream_are_refused():
    with pytest.raises(FormatError, match="5 coded bytes; expected at most 1"):
        ANS.decode(b"\x0c\x05\x00", WORKED.shape)
