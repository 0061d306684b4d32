"""Exponents of scales <-> a section of the payload.

A codec codes the exponents minus a base, or the differences between successive exponents. docs/format.md, "Exponents",
specifies the section.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compress.codecs import CODECS
from compress.codecs.primitives.smallest import Candidate, smallest
from compress.codecs.protocol import Codec
from compress.errors import FormatError, offset_by
from compress.tensors.zigzag import zigzag_decode, zigzag_encode

_CONTEXT = CODECS["context"]
_DIFFERENCES = 0x80


def encode_exponents(exponents: NDArray[np.int8], symbol_codec: Codec) -> bytes:
    """Return the smallest section of exponents, of any shape; `symbol_codec` limits the codecs that may code them."""
    wide = exponents.reshape(-1).astype(np.int16)
    differences = zigzag_encode(np.diff(wide, prepend=np.int16(0)))
    sections = []
    for codec in _allowed_codecs(symbol_codec):
        base = int(np.median(wide) if codec is _CONTEXT else wide.min()) if wide.size else 0
        offsets = wide - np.int16(base)
        symbols = zigzag_encode(offsets) if codec is _CONTEXT else offsets.view(np.uint16)
        sections.append(_section(bytes([codec.id, base & 0xFF]), codec, symbols))
        sections.append(_section(bytes([codec.id | _DIFFERENCES]), codec, differences))
    return smallest(sections, len)


def decode_exponents(data: bytes, count: int, symbol_codec: Codec) -> NDArray[np.int8]:
    """Return the exponents of a section, shape (count,).

    Raises:
        FormatError: the section breaks the format; the offset counts from `data[0]`.
    """
    allowed = {codec.id: codec for codec in _allowed_codecs(symbol_codec)}
    head = data[0] if data else 0
    codec, has_differences = allowed.get(head & ~_DIFFERENCES), bool(head & _DIFFERENCES)
    start = 1 if has_differences else 2
    if codec is None or len(data) < start:
        raise FormatError("no exponents", offset=0, expected=f"codec {sorted(allowed)}, and a base")
    with offset_by(start):
        symbols = codec.decode(data[start:], (count,))
    if has_differences:
        exponents = np.cumsum(zigzag_decode(symbols), dtype=np.int64)
    else:
        offsets = zigzag_decode(symbols) if codec is _CONTEXT else symbols
        exponents = offsets.astype(np.int64) + int.from_bytes(data[1:2], "little", signed=True)
    if exponents.size and not -128 <= exponents.min() <= exponents.max() <= 127:
        raise FormatError("an exponent is out of range", offset=0, expected="-128 to 127")
    return exponents.astype(np.int8)


def _section(head: bytes, codec: Codec, symbols: NDArray[np.uint16]) -> Candidate[bytes]:
    stream = codec.candidate(symbols)
    return Candidate(len(head) + stream.min_bytes, lambda: head + stream.encode())


def _allowed_codecs(symbol_codec: Codec) -> tuple[Codec, ...]:
    """Return the codecs of exponents: a reader of the symbols can read them all."""
    always = CODECS["huffman"], CODECS["raw"]
    return (*always, _CONTEXT) if symbol_codec is _CONTEXT else always
