"""Codecs: lossless codes of symbols, one codec per module.

In come the symbols of a tensor: uint16, row-major, in the tensor's shape; symbol 0 is the pruned weight. Out come the
bytes of a stream, and back. `context/` is the adaptive coder, `primitives/` has the bit-level parts. The meaning of an
id, which files store, never changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from compress.codecs.context.context_codec import CoarseContextCodec, ContextCodec
from compress.codecs.context.small_context_codec import SmallContextCodec
from compress.codecs.huffman import HuffmanCodec
from compress.codecs.primitives.symbol_histogram import entropy_bytes
from compress.codecs.protocol import Codec
from compress.codecs.raw import RawCodec
from compress.codecs.zero_runs import ZeroRunsCodec

__all__ = ["CODECS", "CODECS_BY_ID", "CONTEXT_WRITERS", "WRITERS", "coarse_writers", "entropy_bytes"]

_ALL: tuple[Codec, ...] = (ContextCodec(), HuffmanCodec(), ZeroRunsCodec(), RawCodec())

CODECS: Mapping[str, Codec] = {codec.name: codec for codec in _ALL}
"""All codecs by name, in order of preference: of equally short streams a file takes the first."""

_SMALL: tuple[Codec, ...] = (SmallContextCodec(), HuffmanCodec(), ZeroRunsCodec(row_major=True), RawCodec())

CONTEXT_WRITERS = ("context", "context-small")

_COARSE = "context-coarse"

WRITERS: Mapping[str, Codec] = {
    **CODECS,
    **{f"{codec.name}-small": codec for codec in _SMALL},
    _COARSE: CoarseContextCodec(),
}
"""Encoders by name: all codecs, all for readers with little memory, and one that only estimates the size of a file."""


def coarse_writers(names: Iterable[str]) -> tuple[str, ...]:
    """Return the writers whose streams of levels along the coarse trellis are as long as those of `names` in a file."""
    return tuple(_COARSE if name in CONTEXT_WRITERS else name for name in names)


CODECS_BY_ID: Mapping[int, Codec] = {codec.id: codec for codec in _ALL}
