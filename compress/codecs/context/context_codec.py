"""Codec `context`: adaptive binary arithmetic coding with contexts of neighboring weights.

Symbols are coded as levels. Levels form a matrix: the first dimension is the row, the others together the column, and
dimensions from the third on are the taps of a kernel. Options may shorten a stream:

- trellis: all columns follow `TRELLIS_4096`, and the indices in its quantizers are coded.
- units: magnitudes are coded in units of 2 to 32 and their digits, for large or nearly uniform magnitudes.
- prediction: levels are predicted from the preceding levels of their row, for correlated channels.

Stream: one byte, see `_Head`; the coded bits.
"""

from __future__ import annotations

import math
from functools import partial
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from compress.codecs.context.context_model import MAX_MAGNITUDE, MEAN_OFFSET, log2_eighths
from compress.codecs.context.level_coder import code_levels, initial_statistics
from compress.codecs.context.logistic_mixing import MIN_PROBABILITY
from compress.codecs.primitives.range_coder import POSITION, Stream, check_end, finish, min_coded_bytes
from compress.codecs.primitives.smallest import Candidate
from compress.codecs.primitives.symbol_histogram import histogram
from compress.codecs.primitives.symbol_matrix import SymbolMatrix
from compress.codecs.primitives.trellis import NO_TRELLIS, TRELLIS_256, TRELLIS_4096, Trellis, trellis_indices
from compress.codecs.runtime_decoder import RuntimeCodec
from compress.errors import FormatError, offset_by
from compress.tensors.levels import levels_to_symbols, symbols_to_levels

_MAX_MEAN_OCTAVES = 9
_MAX_UNIT_BITS = 5
_UNITS = _MAX_UNIT_BITS + 1

_SMALL = 4096  # levels up to which more units are tried
_MAX_BY_CHANCE = 32  # nonzero levels that may follow the trellis by chance: a stream without it may be shorter


class _Head(NamedTuple):
    """The first byte of a stream: base-2 logarithms of the mean and of the unit of magnitudes, and the options."""

    mean_octaves: int
    unit_bits: int
    trellis: bool
    prediction: bool

    def to_byte(self) -> bytes:
        return bytes([(self.mean_octaves * _UNITS + self.unit_bits) << 2 | self.trellis << 1 | self.prediction])

    @classmethod
    def of(cls, data: bytes) -> _Head:
        maximum = ((_MAX_MEAN_OCTAVES + 1) * _UNITS << 2) - 1
        if not data or data[0] > maximum:
            raise FormatError("no mean magnitude and options", offset=0, expected=f"a byte of at most {maximum}")
        return cls(*divmod(data[0] >> 2, _UNITS), trellis=bool(data[0] & 2), prediction=bool(data[0] & 1))


class ContextCodec(RuntimeCodec):
    """Some percent below the order-0 entropy of the levels of real networks, without tables."""

    name = "context"
    id = 3
    min_predicted: ClassVar[int] = 1024
    """Levels from which on prediction is tried."""
    trellis: ClassVar[Trellis] = TRELLIS_4096

    def encode(self, symbols: NDArray[np.uint16]) -> bytes:
        matrix = np.ascontiguousarray(_level_matrix(symbols))
        levels = _Levels(matrix, symbols.shape, histogram(symbols), self.trellis)
        trellis = trellis_indices(matrix, self.trellis) is not None
        attempts = [True, False] if trellis and np.count_nonzero(symbols) <= _MAX_BY_CHANCE else [trellis]
        shortest = min((levels.encode_in_units(attempt) for attempt in attempts), key=len)
        if matrix.size < self.min_predicted or matrix.shape[1] == 1:
            return shortest
        best = _Head.of(shortest)
        return min(shortest, levels.encode(best.unit_bits, best.trellis, prediction=True), key=len)

    def reference_decode(self, data: bytes, shape: tuple[int, ...]) -> NDArray[np.uint16]:
        count = math.prod(shape)
        head = _Head.of(data)
        if len(data) < self.min_bytes(count):  # before memory is allocated
            raise FormatError("the coded bits end too early", offset=len(data), expected=f"bits of {count:,} symbols")
        stream = Stream.to_read(data, 1)
        levels = np.zeros(SymbolMatrix.of(shape).shape, dtype=np.int32)
        done = _code(stream, levels, shape, head, self.trellis)
        with offset_by(1):
            end = int(stream.place[POSITION]) - 4
            if done < count and end <= len(stream.data):  # beyond the end, `check_end` has the right message
                raise FormatError(f"symbol {done:,} is out of range", offset=end, expected="at most 65,535")
            check_end(stream)
        return levels_to_symbols(levels).reshape(shape)

    def candidate(self, symbols: NDArray[np.uint16]) -> Candidate[bytes]:
        return Candidate(self.min_bytes(symbols.size), partial(self.encode, symbols))

    def min_bytes(self, count: int) -> int:
        return 1 + min_coded_bytes(count, MIN_PROBABILITY)

    def depends_on_order(self, data: bytes) -> bool:
        return not _Head.of(data).trellis  # columns follow the trellis in one order only

    def is_row_major(self, shape: tuple[int, ...]) -> bool:
        return False

    def coded_symbols(self, data: bytes, symbols: NDArray[np.uint16]) -> NDArray[np.uint16]:
        if not _Head.of(data).trellis:
            return symbols
        indices = trellis_indices(_level_matrix(symbols), self.trellis)
        assert indices is not None  # the stream was decoded with this trellis
        return levels_to_symbols(indices)


class CoarseContextCodec(ContextCodec):
    """Codes levels along `TRELLIS_256`, to estimate the size of a file. No file has such a stream."""

    trellis: ClassVar[Trellis] = TRELLIS_256

    def decode(self, data: bytes, shape: tuple[int, ...]) -> NDArray[np.uint16]:
        return self.reference_decode(data, shape)  # the runtime has the trellis of files


class _Levels:
    """Levels to encode: a matrix, the shape of their tensor, the histogram of their symbols, and a trellis."""

    def __init__(
        self, matrix: NDArray[np.int32], shape: tuple[int, ...], counts: NDArray[np.int64], trellis: Trellis
    ) -> None:
        self.matrix, self.shape, self._trellis = matrix, shape, trellis
        self._counts, self._magnitudes = counts, (np.arange(counts.size) + 1) // 2
        mean = 256 * int(counts @ np.minimum(self._magnitudes, MAX_MAGNITUDE)) // max(matrix.size, 1)
        octaves = (log2_eighths(mean + MEAN_OFFSET) - log2_eighths(MEAN_OFFSET) + 4) // 8
        self._mean_octaves = min(octaves, _MAX_MEAN_OCTAVES)

    def encode(self, unit_bits: int, trellis: bool, prediction: bool = False) -> bytes:
        head = _Head(self._mean_octaves, unit_bits, trellis, prediction)
        room = 1000 + 2 * self.matrix.size
        while True:
            stream = Stream.to_write(room)
            if _code(stream, self.matrix, self.shape, head, self._trellis) == self.matrix.size:
                return head.to_byte() + finish(stream)
            room *= 4  # levels of real networks need less

    def encode_in_units(self, trellis: bool) -> bytes:
        """Return the shortest stream without prediction, from the largest unit that fits down to the best."""
        largest = self._max_unit_bits(trellis)
        shortest = self.encode(largest, trellis)
        for unit_bits in range(largest - 1, -1, -1):
            other = self.encode(unit_bits, trellis)
            if len(other) > len(shortest):
                break
            shortest = other
        return shortest

    def _max_unit_bits(self, trellis: bool) -> int:
        """Return the bits of the largest unit tried: a fraction of the largest magnitude.

        For many levels, where a useless attempt takes time, also of the mean nonzero magnitude.
        """
        largest = self._counts.size // 2
        unit = largest // 4
        if self.matrix.size > _SMALL:
            nonzero, total = max(int(self._counts[1:].sum()), 1), int(self._counts @ self._magnitudes)
            unit = min(largest // 8, total // (2 * nonzero) if trellis else 2 * total // (3 * nonzero))
        return min(max(unit.bit_length() - 1 - trellis, 0), _MAX_UNIT_BITS)  # an index is half its level


def _level_matrix(symbols: NDArray[np.uint16]) -> NDArray[np.int32]:
    return symbols_to_levels(symbols).reshape(SymbolMatrix.of(symbols.shape).shape)


def _code(stream: Stream, levels: NDArray[np.int32], shape: tuple[int, ...], head: _Head, trellis: Trellis) -> int:
    """Encode or decode levels, and return how many."""
    if not levels.size:
        return 0
    mean = MEAN_OFFSET * ((1 << head.mean_octaves) - 1)
    matrix = SymbolMatrix.of(shape)
    statistics = initial_statistics(levels.shape, mean, head.unit_bits, head.prediction)
    machine = trellis if head.trellis else NO_TRELLIS
    place, data = stream
    return code_levels(place, data, *statistics, levels, matrix.taps, matrix.width, mean, head.unit_bits, *machine)
