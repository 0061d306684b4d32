"""Random streams that the format allows and no encoder writes, and streams that it just does not allow."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compress.codecs.primitives.varint import encode_varint
from compress.codecs.protocol import Codec


def coded_by_chance(symbols: NDArray[np.uint16], codec: Codec, chance: random.Random) -> bytes:
    """Return the codec's stream of symbols, or for `huffman` and `huffman-runs` often an unusual stream."""
    contiguous = np.ascontiguousarray(symbols)
    flat: list[int] = contiguous.reshape(-1).tolist()
    if codec.name == "huffman" and chance.random() < 0.6:
        return _huffman_stream(flat, chance)
    if codec.name == "huffman-runs" and chance.random() < 0.6:
        return _runs_stream(flat, chance)
    return codec.encode(contiguous)


def _huffman_stream(symbols: Sequence[int], chance: random.Random) -> bytes:
    """Return a stream with a poor code: it may have unused symbols, useless steps, and rarely invalid lengths."""
    used = sorted({*symbols, *(chance.randrange(9) for _ in range(chance.choice((0, 0, 1, 3))))})
    lengths = _lengths(len(used), chance)
    text, named = _gamma(len(used) + 1), 0
    for symbol in used:  # one by one, where the encoder names runs
        text += _gamma(symbol - named + 1) + _gamma(1)
        named = symbol + 1
    if len(used) > 1:
        text += f"{lengths[0] - 1:04b}"
        for before, length in zip([lengths[0], *lengths], lengths, strict=False):
            text += chance.choice(("", "", "1011", "1110")) + ("10" if length > before else "11") * abs(length - before)
            text += "0"
    text += "0" * (-len(text) % 8)
    codewords, codeword, width = {}, 0, 0
    for length, symbol in sorted(zip(lengths, used, strict=True)):
        codeword <<= length - width
        codewords[symbol], width = f"{codeword:0{length}b}"[-length:], length
        codeword += 1
    text += "".join(codewords[symbol] for symbol in symbols) if len(used) > 1 else ""
    return _packed(text, chance)


def _lengths(count: int, chance: random.Random) -> list[int]:
    """Return the lengths of a random complete code, made by splitting codewords; rarely of an incomplete code."""
    lengths = [0]
    while len(lengths) < count:
        at = chance.randrange(len(lengths))
        lengths[at : at + 1] = [lengths[at] + 1] * 2
    lengths = [max(1, min(length, 16)) for length in lengths[:count]]
    if lengths and chance.random() < 0.1:
        lengths[0] = max(1, min(16, lengths[0] + chance.choice((-1, 1))))
    return lengths


def _runs_stream(symbols: Sequence[int], chance: random.Random) -> bytes:
    """Return zero runs with useless entries, sometimes with a gap or an entry too many."""
    gap_bits = chance.choice((2, 2, 3, 8))
    gaps: list[int] = []
    entry_symbols: list[int] = []
    gap = 0
    for symbol in symbols:
        if symbol or gap == (1 << gap_bits) - 1 or chance.random() < 0.05:
            gaps.append(gap)
            entry_symbols.append(symbol)
            gap = 0
        else:
            gap += 1
    if gaps and chance.random() < 0.2:
        gaps[chance.randrange(len(gaps))] += chance.choice((-1, 1, 1 << gap_bits)) if gaps[0] else 1
    entries = len(gaps) + chance.choice((0, 0, 0, 0, 0, 1))
    gap_stream, symbol_stream = (
        _huffman_stream([max(0, number) for number in part], chance) for part in (gaps, entry_symbols)
    )
    if chance.random() < 0.2:
        gap_bits = chance.choice((1, 2, 2, 9))
    return bytes([gap_bits]) + encode_varint(entries) + encode_varint(len(gap_stream)) + gap_stream + symbol_stream


def _gamma(number: int) -> str:
    return f"{number:b}".rjust(2 * number.bit_length() - 1, "0")


def _packed(text: str, chance: random.Random) -> bytes:
    """Return bits as bytes; rarely with nonzero padding."""
    if chance.random() < 0.03:
        text += "1"
    text += "0" * (-len(text) % 8)
    return int(text or "0", 2).to_bytes(len(text) // 8, "big")
