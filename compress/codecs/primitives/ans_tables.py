"""States of codec `ans`: the frequencies that they are made with, and the symbols that they stand for; compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from compress.runtime.jit import compiled

_WHOLE = 1 << 24
_EIGHTHS = np.array(
    [
        274_877_906_944, 252_064_152_055, 231_143_846_582, 211_959_841_877,
        194_368_031_998, 178_236_271_212, 163_443_381_347, 149_878_241_531,
    ],
    dtype=np.int64,
)  # fmt: skip
"""2 ** 38, and that divided by 2 ** (1 / 8), 2 ** (2 / 8) and so on, rounded."""

_SLOT_BITS = 11
"""What is looked up at once of a place among the frequencies: more, and the table would outgrow the fastest cache."""

_WORDS = types.uint64[::1]
_SLOTS = types.Tuple([_WORDS, types.int64[::1], _WORDS])  # type: ignore[no-untyped-call]


@compiled(types.int64[::1](types.int64[::1], types.int64))
def frequencies(heights: NDArray[np.int64], fineness: int) -> NDArray[np.int64]:
    """Return the frequencies of symbols in 1 / 2 ** 24: at least 1, and in all 2 ** 24.

    Args:
        heights: int64, shape (k,), k from 1 to 65,536, each 1 to 255: frequencies in parts of octaves, from anywhere.
        fineness: binary logarithm of these parts in an octave, 0 to 3.
    Returns:
        int64, shape (k,). What is left over after rounding down goes to the first of the most frequent.
    """
    highest, whole = 0, 0
    for which in range(heights.size):
        if heights[which] > heights[highest]:
            highest = which
    shares = np.empty(heights.size, np.int64)
    for which in range(heights.size):
        eighths = (heights[highest] - heights[which]) << (3 - fineness)
        shares[which] = _EIGHTHS[eighths & 7] >> min(eighths >> 3, 63)
        whole += shares[which]
    left = _WHOLE
    for which in range(heights.size):
        shares[which] = 1 + (_WHOLE - heights.size) * shares[which] // whole
        left -= shares[which]
    shares[highest] += left
    return shares


@compiled(_SLOTS(types.int64[::1], types.uint16[::1]))
def _slots(shares: NDArray[np.int64], used: NDArray[np.uint16]) -> tuple[Any, Any, Any]:
    """Return what tells which symbol a place is of.

    Returns:
        uint64, shape (k + 1,): what lies below each symbol, and 2 ** 24.
        int64: of each slot, places that follow each other, which symbol the first is of.
        uint64: of each slot that is of one symbol alone its share (24 bits), what lies below (24) and it (16), the
            highest first; 0 of others.
    """
    below = np.zeros(shares.size + 1, np.uint64)
    first, alone = np.empty(1 << _SLOT_BITS, np.int64), np.zeros(1 << _SLOT_BITS, np.uint64)
    shift, start = 24 - _SLOT_BITS, 0
    for which in range(shares.size):
        end = start + shares[which]
        entry = shares[which] << 40 | start << 16 | np.int64(used[which])
        for slot in range((start + (1 << shift) - 1) >> shift, (end - 1 >> shift) + 1):
            first[slot] = which
            if (slot + 1) << shift <= end:
                alone[slot] = entry
        below[which + 1] = end
        start = end
    return below, first, alone


@compiled(types.boolean(_WORDS, types.int64[::1], types.uint16[::1], types.uint16[::1]))
def take(
    words: NDArray[np.uint64], shares: NDArray[np.int64], used: NDArray[np.uint16], symbols: NDArray[np.uint16]
) -> bool:
    """Decode symbols, and return whether nothing is left then.

    constriction would do it too, a third as fast and on one core.

    Args:
        words: uint64, shape (n + 1,), of 32 bits; taken from the end, the first of them never.
        shares: shape (k,), k at least 2, frequencies of the symbols in use, in all 2 ** 24.
        used: shape (k,), the symbols in use.
        symbols: to be filled.
    """
    low, word_bits, symbol_bits = np.uint64(1 << 32), np.uint64(32), np.uint64(24)
    slot_shift, within = np.uint64(24 - _SLOT_BITS), np.uint64(_WHOLE - 1)
    below, first, alone = _slots(shares, used)
    share_shift, below_shift = np.uint64(40), np.uint64(16)
    state, left = np.uint64(0), words.size - 1
    while left > 0 and state < low:
        state = (state << word_bits) | words[left]
        left -= 1
    for i in range(symbols.size):
        place = state & within
        slot = place >> slot_shift
        entry = alone[slot]
        if entry == 0:
            which = first[slot]
            while place >= below[which + 1]:
                which += 1
            share = below[which + 1] - below[which]
            entry = share << share_shift | below[which] << below_shift | np.uint64(used[which])
        symbols[i] = entry
        state = (state >> symbol_bits) * (entry >> share_shift) + (place - ((entry >> below_shift) & within))
        filled = (state << word_bits) | words[left]
        more = state < low and left > 0
        state = filled if more else state  # no branch: which it will be cannot be foreseen
        left -= 1 if more else 0
    return state == np.uint64(0) and left == 0
