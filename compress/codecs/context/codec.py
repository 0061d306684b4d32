"""Codec `context`: adaptive binary arithmetic coding; nearby weights tell how probable each bit of the next one is.

Symbols are taken as levels, whole numbers in zigzag: 0, 1, 2, 3, 4 are 0, 1, -1, 2, -2. Their first dimension is the
row, the others together the column; dimensions from the third on are the taps of a kernel. Where all columns follow
a trellis (see `trellis`), the indices within its quantizers are coded instead of the levels, if that is smaller.

Magnitudes that are large, and small ones no more frequent, as k-means makes them, are coded in units of a power of two
and by digits within a unit, if that is smaller.

Where channels have to do with each other, levels are predicted from those before them in their row too
(`linear_prediction`), if that is smaller.

Stream: a byte of 127 where levels are predicted, of 126 where they follow the trellis of 256 states, of 125 where
both, of 124 and 123 so for that of 4,096; one byte, 1 for a trellis, that of 32 states if there was no byte that says
otherwise, plus 2 times the mean magnitude in half octaves, plus 128 where there are units, in which case a byte
follows, the binary logarithm of one; then the coded bits.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from compress.codecs.context.contexts import MEAN_OFFSET, MOST_MAGNITUDE, logarithm
from compress.codecs.context.escape_codes import MOST_UNIT_BITS
from compress.codecs.context.level_coder import code_levels, new_estimates, new_weights
from compress.codecs.context.logistic_mixing import LEAST_PROBABILITY
from compress.codecs.context.nlms_predictor import NO_PREDICTORS, new_predictors
from compress.codecs.primitives.error_offsets import offset_by
from compress.codecs.primitives.histogram import counted
from compress.codecs.primitives.range_coder import AT, Stream, check_end, fewest_bytes, finish
from compress.codecs.primitives.trellis import TRELLISES, follows_trellis, trellis_indices
from compress.errors import FormatError
from compress.tensors.levels import zigzag_levels, zigzag_symbols

_MOST_MEAN = 39
"""Half octaves of the largest mean magnitude."""

_UNITS = 128
"""Part of the first byte where magnitudes are coded in units."""

_SMALL = 1  # of the trellises the one that no byte has to name

_SAID_FIRST = {127: (_SMALL, True), 126: (2, False), 125: (2, True), 124: (3, False), 123: (3, True)}
"""What a byte before all others says: which trellis it is, if there is one, and whether levels are predicted."""

_LEAST_PREDICTED = 1024
"""Fewer levels are not worth the byte."""

_BY_CHANCE = 4096
"""Levels up to which some may follow a trellis that were not led along it, and take fewer bytes without."""


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
        followed = [which for which in range(1, len(TRELLISES)) if follows_trellis(levels, TRELLISES[which])]
        # An index is half its level.
        ways = [_Way(which, bits) for which in followed for bits in (0, max(units - 1, 0))]
        if not followed or levels.size <= _BY_CHANCE:
            ways += [_Way(0), _Way(0, units)]
        tried = {way: _encode(levels, symbols.shape, mean, way) for way in dict.fromkeys(ways)}
        best = min(tried, key=lambda way: len(tried[way]))
        if levels.size < _LEAST_PREDICTED or levels.shape[1] == 1:
            return tried[best]
        return min(tried[best], _encode(levels, symbols.shape, mean, best._replace(predicted=True)), key=len)

    def decode(self, data: bytes, shape: tuple[int, ...]) -> NDArray[np.uint16]:
        count = math.prod(shape)
        start, mean, way = _head(data)
        if len(data) - start < fewest_bytes(count, LEAST_PROBABILITY):  # before anything is allocated
            raise FormatError("the coded bits end too early", offset=len(data), expected=f"{count:,} symbols")
        stream = Stream.to_read(data, start)
        levels = np.zeros(_rows_and_columns(shape), dtype=np.int32)
        done = _code(stream, levels, shape, mean, way)
        with offset_by(start):
            settled = int(stream.place[AT]) - 4
            if done < count and settled <= len(stream.data):  # else the end is missing, and what was read is no symbol
                raise FormatError(f"symbol {done:,} is beyond 16 bits", offset=settled, expected="at most 65,535")
            check_end(stream)
        return zigzag_symbols(levels).reshape(shape)

    def least_bytes(self, symbols: NDArray[np.uint16], counts: NDArray[np.int64]) -> int:
        return 1 + fewest_bytes(symbols.size, LEAST_PROBABILITY)

    def gains_by_order(self, data: bytes | None) -> bool:
        return data is None or not _head(data)[2].trellis  # columns follow a trellis in this order alone

    def as_coded(self, data: bytes, symbols: NDArray[np.uint16]) -> NDArray[np.uint16]:
        which = _head(data)[2].trellis
        if not which:
            return symbols
        levels = zigzag_levels(symbols).reshape(_rows_and_columns(symbols.shape))
        indices = trellis_indices(levels, TRELLISES[which])
        assert indices is not None  # the data say that they follow it
        return zigzag_symbols(indices)

    def position_bytes(self, data: bytes) -> int:
        return 0


def _rows_and_columns(shape: tuple[int, ...]) -> tuple[int, int]:
    return (shape[0] if shape else 1), math.prod(shape[1:])


class _Way(NamedTuple):
    """How levels are coded.

    Attributes:
        trellis: which of `TRELLISES` they follow.
        unit_bits: binary logarithm of the unit of magnitudes.
        predicted: whether they are predicted along the row.
    """

    trellis: int
    unit_bits: int = 0
    predicted: bool = False


def _head(data: bytes) -> tuple[int, int, _Way]:
    """Return where the coded bits begin, the mean magnitude in half octaves, and how levels are coded."""
    at = int(len(data) > 0 and data[0] in _SAID_FIRST)
    which, predicted = _SAID_FIRST[data[0]] if at else (_SMALL, False)
    first = data[at] if len(data) > at else _UNITS - 1
    mean, trellis = divmod(first % _UNITS, 2)
    if mean > _MOST_MEAN:
        most = 2 * _MOST_MEAN + 1
        raise FormatError("no mean magnitude", offset=at, expected=f"a byte up to {most}, or {_UNITS} more")
    if which > _SMALL and not trellis:
        raise FormatError("no trellis, after a byte that says which it is", offset=at, expected="an odd byte")
    trellis *= which
    if first < _UNITS:
        return at + 1, mean, _Way(trellis, 0, predicted)
    if len(data) == at + 1 or not 1 <= data[at + 1] <= MOST_UNIT_BITS:
        raise FormatError("no unit of magnitudes", offset=at + 1, expected=f"a byte from 1 to {MOST_UNIT_BITS}")
    return at + 2, mean, _Way(trellis, data[at + 1], predicted)


def _unit_bits(counts: NDArray[np.int64], magnitudes: NDArray[np.int64]) -> int:
    """Return the logarithm of the largest unit that the largest magnitude is 8 of, and the mean of those not zero 2."""
    others, total, most = int(counts[1:].sum()), int(counts @ magnitudes), int(magnitudes[-1]) if counts.size else 0
    bits = 0
    while bits < MOST_UNIT_BITS and 16 << bits <= most and (4 << bits) * others <= total:
        bits += 1
    return bits


def _encode(levels: NDArray[np.int32], shape: tuple[int, ...], mean_magnitude: int, way: _Way) -> bytes:
    mean = logarithm(mean_magnitude + MEAN_OFFSET) // 4
    said = max(way.trellis, _SMALL), way.predicted
    head = [byte for byte, what in _SAID_FIRST.items() if what == said]
    first = 2 * mean + (way.trellis > 0)
    head += [first + _UNITS, way.unit_bits] if way.unit_bits else [first]
    room = 1000 + 2 * levels.size
    while True:
        stream = Stream.to_write(room)
        if _code(stream, levels, shape, mean, way) == levels.size:
            return bytes(head) + finish(stream)
        room *= 4  # levels of real networks take less; any may be encoded


def _code(stream: Stream, levels: NDArray[np.int32], shape: tuple[int, ...], mean: int, way: _Way) -> int:
    """Code levels, their mean magnitude given in half octaves, and return how many."""
    if not levels.size:
        return 0
    octave, half = divmod(mean, 2)
    begin = max(0, ((2 + half) << octave >> 1) - MEAN_OFFSET)
    taps, width = math.prod(shape[2:]), shape[-1] if len(shape) > 2 else 1
    estimates, weights = new_estimates(way.unit_bits), new_weights()
    predictors = new_predictors(*levels.shape) if way.predicted else NO_PREDICTORS
    unit, tables = way.unit_bits, TRELLISES[way.trellis]
    return int(code_levels(*stream, estimates, weights, predictors, levels, taps, width, begin, unit, *tables))
