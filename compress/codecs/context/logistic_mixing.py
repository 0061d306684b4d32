"""Adaptive probabilities of bits, and mixers of their logits, in integers.

An adaptive probability is one int32: a probability in units of 2 ** -22, times 256, plus its number of updates, at
most 255. Each coded bit moves it by a part of the distance, 5/8 at first and less with every update. Logits
ln(p / (1 - p)) are in units of 1/256. A mixer predicts a bit from a weighted sum of logits, and learns the weights.

Every number is part of the format (docs/format.md).

Source: Mahoney 2005, "Adaptive weighing of context models for lossless data compression" (PAQ), after lpaq1.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray

from compress.codecs.primitives.range_coder import PROBABILITY_BITS, Bytes, Coder, code_bit
from compress.codecs.primitives.symbol_histogram import Counts
from compress.runtime.jit import Contiguous, compiled

Probabilities = Annotated[NDArray[np.int32], Contiguous(1)]
Weights = Annotated[NDArray[np.int64], Contiguous(2)]


class CoderArrays(NamedTuple):
    """Bytes of the stream, adaptive probabilities by slot, weights (mixers x inputs), inputs of the sign logit."""

    data: Bytes
    probabilities: Probabilities
    weights: Weights
    inputs: Counts


INITIAL_PROBABILITY = 1 << 29
"""One half, without updates."""

MIN_PROBABILITY = 32
"""Smallest probability, in units of 2 ** -16: no bit costs more than 11 bits."""

MAX_LOGIT, LOGIT_ONE = 2047, 256

_WEIGHT_BITS = 16  # binary places of a mixer's weights
_MIXER_RATE = 6

_RISE = np.array(
    [22, 36, 60, 98, 162, 267, 439, 720, 1179, 1921, 3108, 4971, 7812, 11955, 17625, 24743], dtype=np.int64
)
_KNOTS = np.concatenate([_RISE, [1 << 15], (1 << 16) - _RISE[::-1]])
"""2 ** 16 / (1 + exp(-x)) for x from -8 to 8 in steps of 1/2; as literals, because math libraries round differently."""


_LEFT, _FRACTION = np.divmod(np.arange(4096), 128)
_SIGMOID = ((_KNOTS[_LEFT] * (128 - _FRACTION) + _KNOTS[_LEFT + 1] * _FRACTION + 64) >> 7).astype(np.uint16)
"""Probability of each logit from -2048 on, in units of 2 ** -16."""

_LOGIT = np.clip(np.searchsorted(_SIGMOID, 16 * np.arange(4096) + 8) - 2048, -MAX_LOGIT, MAX_LOGIT).astype(np.int16)
"""By probability in units of 2 ** -12, the smallest logit that reaches the middle of that unit."""

ADAPTATION_RATES = (5 << 16) // (5 * np.arange(256) + 8)
"""Part of the distance that an update moves, in units of 2 ** -16, by number of updates."""


@compiled(inline=True)
def sigmoid(logit: int) -> int:
    """Return the probability of a logit, in units of 2 ** -16."""
    return _SIGMOID[np.uintp(logit + 2048)]  # type: ignore[no-any-return]


@compiled(inline=True)
def _clip_probability(probability: int) -> int:
    return max(MIN_PROBABILITY, min((1 << 16) - MIN_PROBABILITY, probability))


@compiled(inline=True)
def mixed_logit(weighted_sum: int) -> int:
    """Return the logit of a weighted sum of logits."""
    return max(-MAX_LOGIT, min(MAX_LOGIT, weighted_sum >> _WEIGHT_BITS))


@compiled(inline=True)
def _updated(adaptive: int, bit: int) -> int:
    updates, probability = adaptive & 255, adaptive >> 8
    probability += (((bit << 22) - probability) * int(ADAPTATION_RATES[np.uintp(updates)])) >> 16
    return (probability << 8) | min(updates + 1, 255)


@compiled(inline=True)
def weight_step(value: int, error: int) -> int:
    """Return the gradient step of the weight of an input; `error` includes the learning rate."""
    return (value * error + (1 << 17)) >> 18


@compiled(inline=True)
def code_adaptive(coder: Coder, arrays: CoderArrays, bit: int, slot: int) -> tuple[Coder, int]:
    """Code a bit (see `code_bit`) with the adaptive probability in `slot`, and update it."""
    place = np.uintp(slot)
    adaptive = arrays.probabilities[place]
    coder, bit = code_bit(coder, arrays.data, bit, _clip_probability(adaptive >> 14))
    arrays.probabilities[place] = _updated(adaptive, bit)
    return coder, bit


@compiled(inline=True)
def code_mixed_2(coder: Coder, arrays: CoderArrays, bit: int, slot: int, logit: int, mixer: int) -> tuple[Coder, int]:
    """Code a bit as `code_mixed_4`, with one adaptive probability."""
    place, row, weights = np.uintp(slot), np.uintp(mixer), arrays.weights
    adaptive = arrays.probabilities[place]
    first = _LOGIT[np.uintp(adaptive >> 18)]
    probability = _clip_probability(sigmoid(mixed_logit(first * weights[row, 0] + logit * weights[row, 1])))
    coder, bit = code_bit(coder, arrays.data, bit, probability)
    error = ((bit << PROBABILITY_BITS) - probability) * _MIXER_RATE
    weights[row, 0] += weight_step(first, error)
    weights[row, 1] += weight_step(logit, error)
    arrays.probabilities[place] = _updated(adaptive, bit)
    return coder, bit


@compiled(inline=True)
def code_mixed_4(
    coder: Coder, arrays: CoderArrays, bit: int, slots: tuple[int, int, int], logit: int, mixer: int
) -> tuple[Coder, int]:
    """Code a bit with a mixer, a row of weights, of the adaptive probabilities in `slots` and a logit; update them."""
    probabilities, weights = arrays.probabilities, arrays.weights
    one, two, three = np.uintp(slots[0]), np.uintp(slots[1]), np.uintp(slots[2])
    row = np.uintp(mixer)
    a, b, c = probabilities[one], probabilities[two], probabilities[three]
    x, y, z = _LOGIT[np.uintp(a >> 18)], _LOGIT[np.uintp(b >> 18)], _LOGIT[np.uintp(c >> 18)]
    total = x * weights[row, 0] + y * weights[row, 1] + z * weights[row, 2] + logit * weights[row, 3]
    probability = _clip_probability(sigmoid(mixed_logit(total)))
    coder, bit = code_bit(coder, arrays.data, bit, probability)
    error = ((bit << PROBABILITY_BITS) - probability) * _MIXER_RATE
    weights[row, 0] += weight_step(x, error)
    weights[row, 1] += weight_step(y, error)
    weights[row, 2] += weight_step(z, error)
    weights[row, 3] += weight_step(logit, error)
    probabilities[one], probabilities[two], probabilities[three] = _updated(a, bit), _updated(b, bit), _updated(c, bit)
    return coder, bit
