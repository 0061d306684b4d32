"""The interface of a codec."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from compress.codecs.primitives.symbol_histogram import UNSEEN_COUNT, ideal_bits


class Codec(ABC):
    """A lossless code of symbols, by name in configurations and by id in files.

    The methods besides `encode` and `decode` have defaults that fit a simple codec.

    Args:
        row_major: write for readers that decode a few filters at a time.
    """

    name: ClassVar[str]
    id: ClassVar[int]

    def __init__(self, *, row_major: bool = False) -> None:
        self._row_major = row_major

    @abstractmethod
    def encode(self, symbols: NDArray[np.uint16]) -> bytes:
        """Return the stream of symbols of any shape, including its tables; the shape is stored elsewhere."""

    @abstractmethod
    def decode(self, data: bytes, shape: tuple[int, ...]) -> NDArray[np.uint16]:
        """Return the symbols of a stream.

        Raises:
            FormatError: `data` is not a stream of symbols of this shape; the offset counts from `data[0]`.
        """

    def symbol_bits(self, counts: NDArray[np.int64], zero: int) -> NDArray[np.float64]:
        """Return the bits that each symbol takes in a stream with these frequencies; by default the ideal code length.

        Args:
            counts: shape (columns, symbols).
            zero: position of the symbol 0, the zero weight.
        Returns:
            The bits of a symbol in each column, of the shape of `counts`.
        """
        return np.broadcast_to(ideal_bits(counts.sum(0) + UNSEEN_COUNT), counts.shape)

    def min_bytes(self, symbols: NDArray[np.uint16], counts: NDArray[np.int64]) -> int:
        """Return a lower bound of the bytes of `encode`, faster; `counts` is the `histogram` of `symbols`."""
        return 0

    def depends_on_order(self, data: bytes) -> bool:
        """Return whether the symbols of a stream may have a shorter stream in another scan order."""
        return False

    def is_row_major(self, shape: tuple[int, ...]) -> bool:
        """Return whether symbols of a shape may be in row-major order alone."""
        return self._row_major

    def coded_symbols(self, data: bytes, symbols: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """Return the symbols that a stream codes after a transform of `symbols`."""
        return symbols

    def position_bytes(self, data: bytes) -> int:
        """Return the bytes of a stream for the positions of nonzero symbols, if separate."""
        return 0
