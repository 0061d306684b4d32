"""TODO."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Codec(Protocol):
    """A pair of functions, encode and decode, with a name for people and an id for files."""

    @property
    def name(self) -> str: ...

    @property
    def id(self) -> int: ...

    def encode(self, symbols: NDArray[np.uint16]) -> bytes:
        """Return the bytes of `symbols`, of any shape, tables and all; only the shape has to be kept beside them."""

    def decode(self, data: bytes, shape: tuple[int, ...]) -> NDArray[np.uint16]:
        """Return the symbols of this shape that `encode` was given.

        Raises:
            FormatError: `data` is no output of `encode` for symbols of this shape; its offset counts from `data[0]`.
        """

    def least_bytes(self, symbols: NDArray[np.uint16], counts: NDArray[np.int64]) -> int:
        """Return a number of bytes that `encode` does not go below; quick to tell.

        Args:
            symbols: of any shape.
            counts: of these, as `counted` tells.
        """

    def gains_by_order(self, data: bytes | None) -> bool:
        """Return whether the symbols of `data`, or any where it is None, might take fewer bytes in another order."""

    def as_coded(self, data: bytes, symbols: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """Return what `data` codes one by one: its symbols, or what they are taken as."""

    def position_bytes(self, data: bytes) -> int:
        """Return how many bytes of `data` say where the nonzero symbols are; 0 where that is not kept apart."""
