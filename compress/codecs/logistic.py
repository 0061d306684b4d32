"""Probabilities of bits that adapt, and the mixing of several in the logistic domain; whole numbers alone.

An estimate is one number: a probability in 1 / 2 ** 22, times 256, plus how often it was adapted, at most 255. It moves
to each bit seen by a share that begins at 5/8 and falls with every bit, so that a few bits teach it much and many
teach it well. Stretched, a probability p is ln(p / (1 - p)) in 1 / 256.

Source: Mahoney 2005, "Adaptive weighing of context models for lossless data compression" (PAQ), after lpaq1.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from compress.codecs.arithmetic import DATA, PLACE, PROBABILITY_BITS, code_bit
from compress.compiled import compiled

UNDECIDED = 1 << 29
"""An estimate of one half that saw no bit yet."""

LEAST_PROBABILITY = 32
"""Of either bit, in 1 / 2 ** 16, so that a surprise never costs more than 11 bits."""

MOST_STRETCHED = 2047
UNIT = 256
"""What stands for 1 among stretched probabilities."""

WEIGHT_BITS = 16
"""Binary places of a mixer's weights."""

_RISE = np.array(
    [22, 36, 60, 98, 162, 267, 439, 720, 1179, 1921, 3108, 4971, 7812, 11955, 17625, 24743], dtype=np.int64
)
_KNOTS = np.concatenate([_RISE, [1 << 15], (1 << 16) - _RISE[::-1]])
"""2 ** 16 / (1 + exp(-x)) for x from -8 to 8 in steps of 1/2; written out, so that no machine rounds otherwise."""


def _squash() -> NDArray[np.int64]:
    left, between = np.divmod(np.arange(4096), 128)
    return np.asarray((_KNOTS[left] * (128 - between) + _KNOTS[left + 1] * between + 64) >> 7)


SQUASH = _squash()
"""Of every stretched probability, from -2048 on, the probability in 1 / 2 ** 16: knots joined by straight lines."""

STRETCH = np.clip(np.searchsorted(SQUASH, 16 * np.arange(4096) + 8) - 2048, -MOST_STRETCHED, MOST_STRETCHED)
"""Of every probability in 1 / 2 ** 12 the stretched one: the first that `SQUASH` takes to its middle or above."""

SHARES = (5 << 16) // (5 * np.arange(256) + 8)
"""By how often an estimate was adapted, the share of the way that it goes next, in 1 / 2 ** 16."""

ESTIMATES = types.int32[::1]
SLOTS = types.int64[::1]
WEIGHTS = types.int64[:, ::1]
INPUTS = types.int64[::1]


@compiled(types.int64(types.int64))
def squash(stretched: int) -> int:
    """Return the probability in 1 / 2 ** 16 of a stretched one."""
    return SQUASH[stretched + 2048]  # type: ignore[no-any-return]


@compiled(types.int64(types.int64))
def _bounded(probability: int) -> int:
    return max(LEAST_PROBABILITY, min((1 << 16) - LEAST_PROBABILITY, probability))


@compiled(types.void(ESTIMATES, types.int64, types.int64))
def _adapt(estimates: NDArray[np.int32], slot: int, bit: int) -> None:
    seen = estimates[slot] & 255
    probability = estimates[slot] >> 8
    probability += (((bit << 22) - probability) * SHARES[seen]) >> 16
    estimates[slot] = (probability << 8) | min(seen + 1, 255)


@compiled(types.int64(INPUTS, types.int64, WEIGHTS, types.int64))
def mixed(inputs: NDArray[np.int64], count: int, weights: NDArray[np.int64], row: int) -> int:
    """Return a row's weighted sum of the first `count` stretched probabilities, itself one."""
    total = 0
    for i in range(count):
        total += inputs[i] * weights[row, i]
    return max(-MOST_STRETCHED, min(MOST_STRETCHED, total >> WEIGHT_BITS))


@compiled(types.void(INPUTS, types.int64, WEIGHTS, types.int64, types.int64, types.int64))
def learn(inputs: NDArray[np.int64], count: int, weights: NDArray[np.int64], row: int, error: int, rate: int) -> None:
    """Move a row's weights down the slope of the bit's cost; `error` is the bit, 0 or 2 ** 16, less its probability."""
    for i in range(count):
        weights[row, i] += (inputs[i] * error * rate + (1 << 17)) >> 18


@compiled(types.int64(PLACE, DATA, types.int64, ESTIMATES, types.int64))
def code_by_one(
    place: NDArray[np.int64], data: NDArray[np.uint8], bit: int, estimates: NDArray[np.int32], slot: int
) -> int:
    """Code a bit (see `code_bit`) by one estimate, which adapts."""
    bit = code_bit(place, data, bit, _bounded(estimates[slot] >> 14))
    _adapt(estimates, slot, bit)
    return bit


@compiled(
    types.int64(
        PLACE, DATA, types.int64, ESTIMATES, SLOTS, types.int64, INPUTS, types.int64, WEIGHTS, types.int64, types.int64
    ),
    inline=True,
)
def code_by_many(
    place: NDArray[np.int64],
    data: NDArray[np.uint8],
    bit: int,
    estimates: NDArray[np.int32],
    slots: NDArray[np.int64],
    slot_count: int,
    inputs: NDArray[np.int64],
    input_count: int,
    weights: NDArray[np.int64],
    row: int,
    rate: int,
) -> int:
    """Code a bit (see `code_bit`) by several estimates mixed; they and the weights adapt.

    Args:
        place: as in `code_bit`.
        data: as in `code_bit`.
        bit: as in `code_bit`.
        estimates: all there are.
        slots: where those are that are mixed: the first `slot_count` of them.
        slot_count: how many.
        inputs: room for them stretched; then further inputs, given by the caller, `input_count` in all.
        input_count: how many.
        weights: of the inputs, in this row.
        row: of the weights.
        rate: how fast weights learn.
    """
    for i in range(slot_count):
        inputs[i] = STRETCH[estimates[slots[i]] >> 18]
    probability = _bounded(squash(mixed(inputs, input_count, weights, row)))
    bit = code_bit(place, data, bit, probability)
    learn(inputs, input_count, weights, row, (bit << PROBABILITY_BITS) - probability, rate)
    for i in range(slot_count):
        _adapt(estimates, slots[i], bit)
    return bit
