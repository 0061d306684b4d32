"""The interface of a codec."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from compress.codecs.primitives.smallest import Candidate
from compress.codecs.primitives.symbol_histogram import UNSEEN_COUNT, ideal_bits


class Codec(ABC):
    """A lossless code of symbols, by name in configurations and by id in files.

    The methods besides `encode` and `decode` have defaults that fit a simple codec.
    """

    name: ClassVar[str]
    id: ClassVar[int]

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

    def candidate(self, symbols: NDArray[np.uint16]) -> Candidate[bytes]:
        """Return the stream of `encode`, not made yet."""
        return Candidate(0, partial(self.encode, symbols))

    def depends_on_order(self, data: bytes) -> bool:
        """Return whether the symbols of a stream may have a shorter stream in another scan order."""
        return False

    def is_row_major(self, shape: tuple[int, ...]) -> bool:
        """Return whether symbols of a shape are coded in row-major order alone."""
        return True

    def coded_symbols(self, data: bytes, symbols: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """Return the symbols that a stream codes after a transform of `symbols`."""
        return symbols

    def position_bytes(self, data: bytes) -> int:
        """Return the bytes of a stream for the positions of nonzero symbols, if separate."""
        return 0
