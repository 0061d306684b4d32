"""Symbols <-> bytes: the lossless coders of a `.sqz` file, one a module.

A symbol is a 16-bit number; 0 is the pruned weight. Symbols have the shape of the tensor that they are of, which a
codec may make use of, and row-major order. A codec's id is written into files, so a published id never changes
meaning: new bytes, new id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from compress.codecs.ans import Ans
from compress.codecs.context import Context
from compress.codecs.counts import counted, entropy_bits
from compress.codecs.huffman import Huffman
from compress.codecs.huffman_runs import HuffmanRuns
from compress.codecs.raw import Raw


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


_ALL: tuple[Codec, ...] = (Raw(), Huffman(), HuffmanRuns(), Context(), Ans())

CODECS: Mapping[str, Codec] = {codec.name: codec for codec in _ALL}
"""Every codec by its name."""

CODECS_BY_ID: Mapping[int, Codec] = {codec.id: codec for codec in _ALL}
"""Every codec by the id that files know it by."""


def entropy_bytes(symbols: NDArray[np.uint16]) -> float:
    """Return the order-0 entropy of `symbols`, all of them together, in bytes.

    It is what an ideal code takes that knows how frequent each symbol is and nothing else, its table not counted.
    """
    return entropy_bits(counted(symbols)) / 8
