"""Symbols <-> bytes: the lossless coders of a `.sqz` file, one a module.

A symbol is a 16-bit number; 0 is the pruned weight. Symbols have the shape of the tensor that they are of, which a
codec may make use of, and row-major order. A codec's id is written into files, so a published id never changes
meaning: new bytes, new id.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from compress.codecs.ans import Ans
from compress.codecs.base import Codec
from compress.codecs.context.codec import Context
from compress.codecs.huffman import Huffman
from compress.codecs.primitives.histogram import counted, entropy_bits
from compress.codecs.raw import Raw
from compress.codecs.zero_runs import HuffmanRuns

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
