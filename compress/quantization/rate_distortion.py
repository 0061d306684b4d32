"""The trade between file size and divergence: a choice minimizes divergence + lambda * bits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

Floats = NDArray[np.float64]
Lambda = Annotated[float, Field(gt=0, le=1)]
"""Lagrange multiplier, nats of divergence that one bit is worth: the larger, the smaller the file."""

SymbolBits = Callable[[NDArray[np.int64], int], Floats]
"""Price of symbols in bits, from their frequencies and the position of the zero weight; both have the shape
(columns, symbols)."""


def symbol_bits_of(codecs: Iterable[str]) -> SymbolBits:
    """Return the price of symbols in a file: that of the codec that codes them in the fewest bits.

    Args:
        codecs: names of the codecs that the file may use.
    """
    from compress.codecs import WRITERS  # noqa: PLC0415  compiles their loops

    available = [WRITERS[name] for name in codecs]

    def symbol_bits(counts: NDArray[np.int64], zero: int) -> Floats:
        prices = (codec.symbol_bits(counts, zero) for codec in available)
        return min(prices, key=lambda bits: float(np.vdot(bits, counts)))

    return symbol_bits
