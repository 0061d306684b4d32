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

from compress.codecs.primitives.range_coder import CODER, DATA, PROBABILITY_BITS, Coder, code_bit
from compress.runtime.jit import compiled

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


def _squash() -> NDArray[np.uint16]:
    left, between = np.divmod(np.arange(4096), 128)
    squashed = (_KNOTS[left] * (128 - between) + _KNOTS[left + 1] * between + 64) >> 7
    return np.asarray(squashed, dtype=np.uint16)


SQUASH = _squash()
"""Of every stretched probability, from -2048 on, the probability in 1 / 2 ** 16: knots joined by straight lines."""

STRETCH = np.clip(np.searchsorted(SQUASH, 16 * np.arange(4096) + 8) - 2048, -MOST_STRETCHED, MOST_STRETCHED).astype(
    np.int16
)
"""Of every probability in 1 / 2 ** 12 the stretched one: the first that `SQUASH` takes to its middle or above."""

SHARES = (5 << 16) // (5 * np.arange(256) + 8)
"""By how often an estimate was adapted, the share of the way that it goes next, in 1 / 2 ** 16."""

ESTIMATES = types.int32[::1]
WEIGHTS = types.int64[:, ::1]
INPUTS = types.int64[::1]
_SLOTS = types.UniTuple(types.int64, 3)  # type: ignore[no-untyped-call]
_CODED = types.Tuple([CODER, types.int64])  # type: ignore[no-untyped-call]


@compiled(types.int64(types.int64), inline=True)
def squash(stretched: int) -> int:
    """Return the probability in 1 / 2 ** 16 of a stretched one."""
    return SQUASH[np.uintp(stretched + 2048)]  # type: ignore[no-any-return]


@compiled(types.int64(types.int64), inline=True)
def _bounded(probability: int) -> int:
    return max(LEAST_PROBABILITY, min((1 << 16) - LEAST_PROBABILITY, probability))


@compiled(types.int64(types.int64), inline=True)
def as_stretched(weighted: int) -> int:
    """Return a weighted sum of stretched probabilities as one itself."""
    return max(-MOST_STRETCHED, min(MOST_STRETCHED, weighted >> WEIGHT_BITS))


@compiled(types.int64(types.int32, types.int64), inline=True)
def _adapted(estimate: int, bit: int) -> int:
    seen = estimate & 255
    probability = estimate >> 8
    probability += (((bit << 22) - probability) * int(SHARES[np.uintp(seen)])) >> 16
    return (probability << 8) | min(seen + 1, 255)


@compiled(types.int64(types.int64, types.int64), inline=True)
def step(value: int, error: int) -> int:
    """Return by how much the weight of an input moves down the slope of a bit's cost.

    Args:
        value: of the input.
        error: the bit, 0 or 2 ** 16, less its probability; times how fast weights learn.
    """
    return (value * error + (1 << 17)) >> 18


@compiled(_CODED(CODER, DATA, types.int64, ESTIMATES, types.int64), inline=True)
def code_by_one(
    coder: Coder, data: NDArray[np.uint8], bit: int, estimates: NDArray[np.int32], slot: int
) -> tuple[Coder, int]:
    """Code a bit (see `code_bit`) by one estimate, which adapts."""
    place = np.uintp(slot)
    estimate = estimates[place]
    coder, bit = code_bit(coder, data, bit, _bounded(estimate >> 14))
    estimates[place] = _adapted(estimate, bit)
    return coder, bit


@compiled(
    _CODED(CODER, DATA, types.int64, ESTIMATES, types.int64, types.int64, WEIGHTS, types.int64, types.int64),
    inline=True,
)
def code_by_two(
    coder: Coder,
    data: NDArray[np.uint8],
    bit: int,
    estimates: NDArray[np.int32],
    slot: int,
    given: int,
    weights: NDArray[np.int64],
    row: int,
    rate: int,
) -> tuple[Coder, int]:
    """Code a bit (see `code_bit`) by an estimate and a given stretched probability, mixed; as `code_by_four`."""
    place, learned = np.uintp(slot), np.uintp(row)
    estimate = estimates[place]
    first = STRETCH[np.uintp(estimate >> 18)]
    mixed = as_stretched(first * weights[learned, 0] + given * weights[learned, 1])
    probability = _bounded(squash(mixed))
    coder, bit = code_bit(coder, data, bit, probability)
    error = ((bit << PROBABILITY_BITS) - probability) * rate
    weights[learned, 0] += step(first, error)
    weights[learned, 1] += step(given, error)
    estimates[place] = _adapted(estimate, bit)
    return coder, bit


@compiled(
    _CODED(
        CODER,
        DATA,
        types.int64,
        ESTIMATES,
        _SLOTS,
        types.int64,
        WEIGHTS,
        types.int64,
        types.int64,
    ),
    inline=True,
)
def code_by_four(
    coder: Coder,
    data: NDArray[np.uint8],
    bit: int,
    estimates: NDArray[np.int32],
    slots: tuple[int, int, int],
    given: int,
    weights: NDArray[np.int64],
    row: int,
    rate: int,
) -> tuple[Coder, int]:
    """Code a bit (see `code_bit`) by three estimates and a given stretched probability, mixed; all but it adapt.

    Args:
        coder: as in `code_bit`.
        data: as in `code_bit`.
        bit: as in `code_bit`.
        estimates: all there are.
        slots: where the three are.
        given: the fourth.
        weights: of the four, in this row.
        row: of the weights.
        rate: how fast weights learn.
    """
    one, two, three = np.uintp(slots[0]), np.uintp(slots[1]), np.uintp(slots[2])
    learned = np.uintp(row)
    a, b, c = estimates[one], estimates[two], estimates[three]
    x, y, z = STRETCH[np.uintp(a >> 18)], STRETCH[np.uintp(b >> 18)], STRETCH[np.uintp(c >> 18)]
    mixed = x * weights[learned, 0] + y * weights[learned, 1] + z * weights[learned, 2] + given * weights[learned, 3]
    probability = _bounded(squash(as_stretched(mixed)))
    coder, bit = code_bit(coder, data, bit, probability)
    error = ((bit << PROBABILITY_BITS) - probability) * rate
    weights[learned, 0] += step(x, error)
    weights[learned, 1] += step(y, error)
    weights[learned, 2] += step(z, error)
    weights[learned, 3] += step(given, error)
    estimates[one], estimates[two], estimates[three] = _adapted(a, bit), _adapted(b, bit), _adapted(c, bit)
    return coder, bit
