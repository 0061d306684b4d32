"""The interface of a codec."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray


class Codec(ABC):
    """A lossless code of symbols: `encode` and `decode`. The other methods have defaults that fit a simple codec.

    Attributes:
        name: in configurations and reports.
        id: in files.
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

    def min_bytes(self, symbols: NDArray[np.uint16], counts: NDArray[np.int64]) -> int:
        """Return a lower bound of the bytes of `encode`, faster; `counts` is the `histogram` of `symbols`."""
        return 0

    def depends_on_order(self, data: bytes | None) -> bool:
        """Return whether another scan order may make the stream `data`, or (None) any stream, shorter."""
        return False

    def coded_symbols(self, data: bytes, symbols: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """Return the symbols that a stream actually codes, where it transforms `symbols` first."""
        return symbols

    def position_bytes(self, data: bytes) -> int:
        """Return the bytes of a stream for the positions of nonzero symbols; 0 if they are not separate."""
        return 0
