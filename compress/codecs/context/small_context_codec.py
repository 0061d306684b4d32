"""A writer of codec `context` for readers with little memory.

The reader in C needs memory for the probabilities of all contexts, for each column, and for predictors. Its tables are
those of `place_tables` in runtime/c/sqz_context.c.
"""

from __future__ import annotations

import sys
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from compress.codecs.context.context_codec import ContextCodec
from compress.codecs.primitives.smallest import Candidate
from compress.codecs.primitives.symbol_matrix import SymbolMatrix

MAX_TABLE_BYTES = 62_000
"""64 kB without 2 kB for the header and the exponents."""

_MEANS, _CERTAINTIES, _ESCAPES, _DIGITS = 8 * 17 * 17, 2 * 256 + 6 * 512, 512, 256  # probabilities, with a trellis
_STATE_BYTES, _LOGIT_BYTES, _COLUMN_BYTES, _WEIGHT_BYTES = 512, 2 * 4096 + 2 * 256, 16, 8


class SmallContextCodec(ContextCodec):
    """Codec `context` without prediction, whose tables take at most `MAX_TABLE_BYTES`.

    Another scan order than row-major needs fewer columns; it is used where row-major order needs too many.
    """

    min_predicted: ClassVar[int] = sys.maxsize

    def candidate(self, symbols: NDArray[np.uint16]) -> Candidate[bytes]:
        stream = super().candidate(symbols)
        fits = self.is_row_major(symbols.shape)
        return stream if fits else stream._replace(min_bytes=sys.maxsize)  # `smallest` takes another codec

    def is_row_major(self, shape: tuple[int, ...]) -> bool:
        return max_table_bytes(shape) <= MAX_TABLE_BYTES

    def depends_on_order(self, data: bytes) -> bool:
        return True  # another order may be one that does not fit


def max_table_bytes(shape: tuple[int, ...]) -> int:
    """Return the largest memory of the reader in C for a stream of symbols of a shape, without prediction."""
    _, columns, taps, _ = SymbolMatrix.of(shape)
    kinds, neighborhoods = min(taps, 64), 64 + 48 * max(min(taps, 16) - 1, 0)
    probabilities = _MEANS + 8 * neighborhoods + _CERTAINTIES + 27 * kinds + _ESCAPES + _DIGITS
    weights = 2 * 6 * 4 + kinds * (2 + 13)
    return 4 * probabilities + _WEIGHT_BYTES * weights + _LOGIT_BYTES + _STATE_BYTES + _COLUMN_BYTES * columns
