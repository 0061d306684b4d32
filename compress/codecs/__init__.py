"""Codecs: lossless codes of symbols, one codec per module.

In come the symbols of a tensor: uint16, row-major, in the tensor's shape; symbol 0 is the pruned weight. Out come the
bytes of a stream, and back. `context/` is the adaptive coder, `primitives/` has the bit-level parts. A codec's id is
stored in files, so the meaning of a published id never changes: another stream takes another id.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from compress.codecs.context.context_codec import ContextCodec
from compress.codecs.huffman import HuffmanCodec
from compress.codecs.primitives.symbol_histogram import entropy_bits, histogram
from compress.codecs.protocol import Codec
from compress.codecs.raw import RawCodec
from compress.codecs.zero_runs import ZeroRunsCodec

_ALL: tuple[Codec, ...] = (
    ContextCodec(),
    HuffmanCodec(),
    ZeroRunsCodec(),
    RawCodec(),
)

CODECS: Mapping[str, Codec] = {codec.name: codec for codec in _ALL}
"""All codecs by name, in order of preference: of equally short streams a file takes the first."""

CODECS_BY_ID: Mapping[int, Codec] = {codec.id: codec for codec in _ALL}


def entropy_bytes(symbols: NDArray[np.uint16]) -> float:
    """Return the order-0 entropy of all symbols together, in bytes; a table of their frequencies is not histogram."""
    return entropy_bits(histogram(symbols)) / 8
