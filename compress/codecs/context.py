"""Codec `context`: adaptive binary arithmetic coding; nearby weights tell how probable each bit of the next one is.

Symbols are taken as levels, whole numbers in zigzag: 0, 1, 2, 3, 4 are 0, 1, -1, 2, -2. Their first dimension is the
row, the others together the column; dimensions from the third on are the taps of a kernel. Where all columns follow
the trellis (see `trellis`), the indices within its quantizers are coded instead of the levels, if that is smaller.

Magnitudes that are large, and small ones no more frequent, as k-means makes them, are coded in units of a power of two
and by digits within a unit, if that is smaller.

Stream: one byte, 1 for the trellis, plus 2 times the mean magnitude in half octaves, plus 128 where there are units, in
which case a byte follows, the binary logarithm of one; then the coded bits.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from compress.codecs.arithmetic import AT, Stream, check_end, fewest_bytes, finish
from compress.codecs.context_model import code_levels, new_estimates, new_weights
from compress.codecs.counts import counted
from compress.codecs.logistic import LEAST_PROBABILITY
from compress.codecs.neighbours import MEAN_OFFSET, MOST_MAGNITUDE, logarithm
from compress.codecs.offsets import offset_by
from compress.codecs.rests import MOST_UNIT_BITS
from compress.codecs.trellis import NO_TRELLIS, TRELLIS, follows_trellis, trellis_indices
from compress.errors import FormatError
from compress.tensors import zigzag_levels, zigzag_symbols

_MOST_MEAN = 39
"""Half octaves of the largest mean magnitude."""

_UNITS = 128
"""Part of the first byte where magnitudes are coded in units."""

_BY_CHANCE = 4096
"""Levels up to which some may follow the trellis that were not led along it, and take fewer bytes without."""


class Context:
    """Some percent below the order-0 entropy of a real network's levels, and never a table."""

    name = "context"
    id = 3

    def encode(self, symbols: NDArray[np.uint16]) -> bytes:
        counts = counted(symbols)
        magnitudes = (np.arange(counts.size) + 1) // 2
        mean = 256 * int(counts @ np.minimum(magnitudes, MOST_MAGNITUDE)) // max(symbols.size, 1)
        units = _unit_bits(counts, magnitudes)
        levels = np.ascontiguousarray(zigzag_levels(symbols).reshape(_rows_and_columns(symbols.shape)))
        follows = follows_trellis(levels)
        ways: list[tuple[bool, int]] = []
        if follows:
            ways += [(True, 0), (True, max(units - 1, 0))]  # an index is half its level
        if not follows or levels.size <= _BY_CHANCE:
            ways += [(False, 0), (False, units)]
        tried = (_encode(levels, symbols.shape, mean, *way) for way in dict.fromkeys(ways))
        return min(tried, key=len)

    def decode(self, data: bytes, shape: tuple[int, ...]) -> NDArray[np.uint16]:
        count = math.prod(shape)
        start, first, unit_bits = _head(data)
        if len(data) - start < fewest_bytes(count, LEAST_PROBABILITY):  # before anything is allocated
            raise FormatError("the coded bits end too early", offset=len(data), expected=f"{count:,} symbols")
        stream = Stream.to_read(data, start)
        levels = np.zeros(_rows_and_columns(shape), dtype=np.int32)
        done = _code(stream, levels, shape, first, unit_bits)
        with offset_by(start):
            settled = int(stream.place[AT]) - 4
            if done < count and settled <= len(stream.data):  # else the end is missing, and what was read is no symbol
                raise FormatError(f"symbol {done:,} is beyond 16 bits", offset=settled, expected="at most 65,535")
            check_end(stream)
        return zigzag_symbols(levels).reshape(shape)

    def least_bytes(self, symbols: NDArray[np.uint16], counts: NDArray[np.int64]) -> int:
        return 1 + fewest_bytes(symbols.size, LEAST_PROBABILITY)

    def gains_by_order(self, data: bytes | None) -> bool:
        return data is None or not data[0] & 1  # a trellis follows its columns in this order alone

    def as_coded(self, data: bytes, symbols: NDArray[np.uint16]) -> NDArray[np.uint16]:
        if not data[0] & 1:
            return symbols
        indices = trellis_indices(zigzag_levels(symbols).reshape(_rows_and_columns(symbols.shape)))
        assert indices is not None  # the data say that they follow it
        return zigzag_symbols(indices)

    def position_bytes(self, data: bytes) -> int:
        return 0


def _rows_and_columns(shape: tuple[int, ...]) -> tuple[int, int]:
    return (shape[0] if shape else 1), math.prod(shape[1:])


def _head(data: bytes) -> tuple[int, int, int]:
    """Return where the coded bits begin, the first byte without units, and the binary logarithm of a unit."""
    first = data[0] % _UNITS if data else _UNITS
    if first >> 1 > _MOST_MEAN:
        most = 2 * _MOST_MEAN + 1
        raise FormatError("no mean magnitude", offset=0, expected=f"a byte up to {most}, or {_UNITS} more")
    if data[0] == first:
        return 1, first, 0
    if len(data) == 1 or not 1 <= data[1] <= MOST_UNIT_BITS:
        raise FormatError("no unit of magnitudes", offset=1, expected=f"a byte from 1 to {MOST_UNIT_BITS}")
    return 2, first, data[1]


def _unit_bits(counts: NDArray[np.int64], magnitudes: NDArray[np.int64]) -> int:
    """Return the logarithm of the largest unit that the largest magnitude is 8 of, and the mean of those not zero 2."""
    others, total, most = int(counts[1:].sum()), int(counts @ magnitudes), int(magnitudes[-1]) if counts.size else 0
    bits = 0
    while bits < MOST_UNIT_BITS and 16 << bits <= most and (4 << bits) * others <= total:
        bits += 1
    return bits


def _encode(levels: NDArray[np.int32], shape: tuple[int, ...], mean: int, trellis: bool, unit_bits: int) -> bytes:
    first = (logarithm(mean + MEAN_OFFSET) // 4) << 1 | trellis
    head = bytes([first + _UNITS, unit_bits] if unit_bits else [first])
    room = 1000 + 2 * levels.size
    while True:
        stream = Stream.to_write(room)
        if _code(stream, levels, shape, first, unit_bits) == levels.size:
            return head + finish(stream)
        room *= 4  # levels of real networks take less; any may be encoded


def _code(stream: Stream, levels: NDArray[np.int32], shape: tuple[int, ...], first: int, unit_bits: int) -> int:
    """Code levels in the way that the first byte, without units, says, and return how many."""
    if not levels.size:
        return 0
    octave, half = divmod(first >> 1, 2)
    mean = max(0, ((2 + half) << octave >> 1) - MEAN_OFFSET)
    taps, width = math.prod(shape[2:]), shape[-1] if len(shape) > 2 else 1
    tables = TRELLIS if first & 1 else NO_TRELLIS
    estimates = new_estimates(unit_bits)
    return int(code_levels(*stream, estimates, new_weights(), levels, taps, width, mean, unit_bits, *tables))
