"""Codec `context`: adaptive binary arithmetic coding with contexts of neighboring weights.

Symbols are coded as levels, integers in zigzag: symbols 0, 1, 2, 3, 4 are levels 0, 1, -1, 2, -2. Levels form a
matrix: the first dimension is the row, the others together the column, and dimensions from the third on are the taps
of a kernel. Three options may shorten a stream:

- trellis: all columns follow `TRELLIS_4096`, and the indices in its quantizers are coded.
- units: magnitudes are coded in units of 2, 4, 8 or 16 and by their digits within a unit. Fits the nearly uniform
  symbols of k-means codebooks.
- prediction: levels are predicted from the preceding levels of their row. Fits correlated channels.

Stream: one byte, 16 times the mean magnitude in octaves plus the number of the options in `_OPTIONS`; the coded bits.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from compress.codecs.context.context_model import MAX_MAGNITUDE, MEAN_OFFSET, log2_eighths
from compress.codecs.context.level_coder import code_levels, new_probabilities, new_weights
from compress.codecs.context.logistic_mixing import MIN_PROBABILITY
from compress.codecs.context.nlms_predictor import NO_PREDICTORS, new_predictors
from compress.codecs.primitives.error_offsets import offset_by
from compress.codecs.primitives.range_coder import POSITION, Stream, check_end, finish, min_coded_bytes
from compress.codecs.primitives.symbol_histogram import histogram
from compress.codecs.primitives.trellis import NO_TRELLIS, TRELLIS_4096, follows_trellis, trellis_indices
from compress.codecs.protocol import Codec
from compress.errors import FormatError
from compress.tensors.levels import levels_to_symbols, symbols_to_levels

_MAX_MEAN = 15
"""Octaves of the largest mean magnitude."""

_MAX_UNIT_BITS = {False: 4, True: 2}  # without a trellis, and with one

_MIN_PREDICTED = 1024
"""Number of levels from which on prediction is tried."""

_SMALL = 4096
"""Number of levels up to which all options are tried: some may follow the trellis by chance and be shorter without."""


class _Options(NamedTuple):
    """Options of a stream.

    Attributes:
        trellis: whether levels follow the trellis.
        unit_bits: base-2 logarithm of the unit of magnitudes: of levels, or with a trellis of indices.
        prediction: whether levels are predicted.
    """

    trellis: bool
    unit_bits: int
    prediction: bool


_OPTIONS = [
    _Options(trellis, unit_bits, prediction)
    for trellis, max_unit_bits in _MAX_UNIT_BITS.items()
    for unit_bits in range(max_unit_bits + 1)
    for prediction in (False, True)
]
"""By their number in the first byte, 0 to 15."""


class ContextCodec(Codec):
    """Some percent below the order-0 entropy of the levels of real networks, without tables."""

    name = "context"
    id = 3

    def encode(self, symbols: NDArray[np.uint16]) -> bytes:
        matrix = np.ascontiguousarray(symbols_to_levels(symbols).reshape(_matrix_shape(symbols.shape)))
        levels = _Levels(matrix, symbols.shape, histogram(symbols))
        trellis = follows_trellis(matrix, TRELLIS_4096)
        shortest = levels.encode_in_units(trellis)
        if trellis and matrix.size <= _SMALL:
            shortest = min(shortest, levels.encode_in_units(trellis=False), key=len)
        if matrix.size < _MIN_PREDICTED or matrix.shape[1] == 1:
            return shortest
        _, options = _parse_head(shortest)
        return min(shortest, levels.encode(options._replace(prediction=True)), key=len)

    def decode(self, data: bytes, shape: tuple[int, ...]) -> NDArray[np.uint16]:
        count = math.prod(shape)
        mean, options = _parse_head(data)
        if len(data) - 1 < min_coded_bytes(count, MIN_PROBABILITY):  # before memory is allocated
            raise FormatError("the coded bits end too early", offset=len(data), expected=f"bits of {count:,} symbols")
        stream = Stream.to_read(data, 1)
        levels = np.zeros(_matrix_shape(shape), dtype=np.int32)
        done = _code(stream, levels, shape, mean, options)
        with offset_by(1):
            end = int(stream.place[POSITION]) - 4
            if done < count and end <= len(stream.data):  # beyond the end, `check_end` has the right message
                raise FormatError(f"symbol {done:,} is out of range", offset=end, expected="at most 65,535")
            check_end(stream)
        return levels_to_symbols(levels).reshape(shape)

    def min_bytes(self, symbols: NDArray[np.uint16], counts: NDArray[np.int64]) -> int:
        return 1 + min_coded_bytes(symbols.size, MIN_PROBABILITY)

    def depends_on_order(self, data: bytes | None) -> bool:
        return data is None or not _parse_head(data)[1].trellis  # columns follow the trellis in one order only

    def coded_symbols(self, data: bytes, symbols: NDArray[np.uint16]) -> NDArray[np.uint16]:
        if not _parse_head(data)[1].trellis:
            return symbols
        indices = trellis_indices(symbols_to_levels(symbols).reshape(_matrix_shape(symbols.shape)), TRELLIS_4096)
        assert indices is not None  # the stream was decoded with this trellis
        return levels_to_symbols(indices)


class _Levels:
    """Levels to encode.

    Attributes:
        matrix: shape (rows, columns).
        shape: of the tensor.
        mean: mean magnitude in octaves, as in the stream.
    """

    def __init__(self, matrix: NDArray[np.int32], shape: tuple[int, ...], counts: NDArray[np.int64]) -> None:
        self.matrix, self.shape = matrix, shape
        self._counts, self._magnitudes = counts, (np.arange(counts.size) + 1) // 2
        mean = 256 * int(counts @ np.minimum(self._magnitudes, MAX_MAGNITUDE)) // max(matrix.size, 1)
        self.mean = min((log2_eighths(mean + MEAN_OFFSET) - log2_eighths(MEAN_OFFSET) + 4) // 8, _MAX_MEAN)

    def encode(self, options: _Options) -> bytes:
        """Return the stream with these options."""
        head = bytes([self.mean * len(_OPTIONS) + _OPTIONS.index(options)])
        room = 1000 + 2 * self.matrix.size
        while True:
            stream = Stream.to_write(room)
            if _code(stream, self.matrix, self.shape, self.mean, options) == self.matrix.size:
                return head + finish(stream)
            room *= 4  # levels of real networks need less

    def encode_in_units(self, trellis: bool) -> bytes:
        """Return the shortest stream without prediction, from the largest unit that fits down to the best."""
        largest = self._max_unit_bits(trellis)
        shortest = self.encode(_Options(trellis, largest, prediction=False))
        for unit_bits in range(largest - 1, -1, -1):
            other = self.encode(_Options(trellis, unit_bits, prediction=False))
            if len(other) >= len(shortest) and self.matrix.size > _SMALL:
                break
            shortest = min(other, shortest, key=len)
        return shortest

    def _max_unit_bits(self, trellis: bool) -> int:
        """Return the bits of the largest unit tried: 1/8 of the largest, 2/3 of the mean nonzero magnitude."""
        nonzero, total = int(self._counts[1:].sum()), int(self._counts @ self._magnitudes)
        largest = int(self._magnitudes[-1]) if self._magnitudes.size else 0
        bits = int(trellis)  # an index is half its level
        while bits < _MAX_UNIT_BITS[trellis] + trellis and 16 << bits <= largest and (3 << bits) * nonzero <= total:
            bits += 1
        return bits - trellis


def _matrix_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    return (shape[0] if shape else 1), math.prod(shape[1:])


def _parse_head(data: bytes) -> tuple[int, _Options]:
    """Return the mean magnitude in octaves, and the options."""
    if not data:
        raise FormatError("the stream is empty", offset=0, expected="a byte of mean magnitude and options")
    mean, number = divmod(data[0], len(_OPTIONS))
    return mean, _OPTIONS[number]


def _code(stream: Stream, levels: NDArray[np.int32], shape: tuple[int, ...], mean: int, options: _Options) -> int:
    """Code levels, given their mean magnitude in octaves, and return how many."""
    if not levels.size:
        return 0
    initial_mean = MEAN_OFFSET * ((1 << mean) - 1)
    taps, width = math.prod(shape[2:]), shape[-1] if len(shape) > 2 else 1
    probabilities, weights = new_probabilities(options.unit_bits), new_weights()
    predictors = new_predictors(*levels.shape) if options.prediction else NO_PREDICTORS
    trellis = TRELLIS_4096 if options.trellis else NO_TRELLIS
    return int(
        code_levels(
            *stream, probabilities, weights, predictors, levels, taps, width, initial_mean, options.unit_bits, *trellis
        )
    )
