"""How codec `context` codes levels: what each is expected to be, from those before it; compiled.

Levels are whole numbers in a matrix, and come row by row. How large the next is likely to be is told by the mean
magnitudes of its row and its column so far, by its neighbours, and by how surely its sign can be guessed. Signs are
far from random where the taps of a kernel hang together, or the rows (classes of a classifier in an order that means
something). Every number here is part of the format (docs/format.md): to change one is to make another codec.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from compress.codecs.context.contexts import (
    BEFORE,
    KINDS,
    LEVELS,
    MEAN_OFFSET,
    NEAR,
    PREDICTED,
    REGRESSORS,
    clipped,
    divided,
    logarithm,
    moved,
    near,
    nearby_context,
    regressed,
    sign_context,
)
from compress.codecs.context.escape_codes import ESTIMATES_OF_RESTS, code_digits, code_rest, new_estimates_of_digits
from compress.codecs.context.logistic_mixing import (
    ESTIMATES,
    INPUTS,
    UNDECIDED,
    WEIGHTS,
    as_stretched,
    code_by_four,
    code_by_two,
    squash,
    step,
)
from compress.codecs.context.nlms_predictor import PREDICTORS, expected_power, hint_of, hint_scale, learn, predicted
from compress.codecs.primitives.range_coder import CODER, DATA, PROBABILITY_BITS, ROOM, Coder
from compress.runtime.jit import compiled

MOST_LEVEL = 1 << 15
"""The largest level; the least is one nearer to zero."""

_UNARY = 6  # decisions "larger still?" before the rest of a magnitude is an Exp-Golomb code
_FIRST_SEEN, _MOST_SEEN, _MOST_SEEN_OF_ALL = 2, 70, 255  # magnitudes that a mean stands for: at first, and at most
_BY_MEANS, _NEARBY, _BY_LEAN = 25 * 25, 16 * 64, 16 * 32  # contexts of a magnitude, of three sorts
_SIGNS = 2 * _UNARY * (_BY_MEANS + _NEARBY + _BY_LEAN)  # where estimates of signs begin
_RESTS = _SIGNS + 27 * KINDS
_SIGN_ROWS = 2 * _UNARY  # where weights of signs begin
_REGRESSION = _SIGN_ROWS + KINDS
_DIGITS = _RESTS + ESTIMATES_OF_RESTS  # where estimates of digits within a unit begin
_RATE, _SIGN_RATE = 6, 10

_FIRST_WEIGHTS = np.tile(
    np.repeat(np.array([18_000, 30_000, 0], dtype=np.int64), [_SIGN_ROWS, KINDS, KINDS])[:, None], REGRESSORS
)
_FIRST_WEIGHTS[_REGRESSION:, PREDICTED] = 30_000

_CODED = types.Tuple([CODER, types.int64])  # type: ignore[no-untyped-call]
_HINT = types.Tuple([types.int64] * 7)  # type: ignore[no-untyped-call]
_QUANTIZERS = types.Array(types.int64, 1, "C", readonly=True)
_FOLLOWING = types.Array(types.int64, 2, "C", readonly=True)
_PLACE = types.int64[::1]

Hint = tuple[int, int, int, int, int, int, int]
"""What those before tell of a level.

expected: the logarithm of its magnitude, by its row and its column, as if these were independent.
by_means: its magnitude's context in the means of its row and column.
nearby: its magnitude's context in its neighbours.
signs: its sign's context.
lean: the stretched probability that it is positive, by regression.
tap: its place in its kernel.
quantizer: which one applies, 0 or 1.
"""


def new_estimates(unit_bits: int) -> NDArray[np.int32]:
    """Return estimates that saw no bit: of magnitudes, of signs, and of the rests of magnitudes.

    Args:
        unit_bits: binary logarithm of the unit of magnitudes.
    """
    return np.concatenate([np.full(_DIGITS, UNDECIDED, dtype=np.int32), new_estimates_of_digits(unit_bits)])


def new_weights() -> NDArray[np.int64]:
    """Return the weights that the inputs begin with: of magnitudes, of signs, and of the regression of signs."""
    return _FIRST_WEIGHTS.copy()


@compiled(
    _CODED(CODER, DATA, types.int64, ESTIMATES, types.int64, WEIGHTS, INPUTS, types.int64, types.int64),
    inline=True,
)
def _code_sign(
    coder: Coder,
    data: NDArray[np.uint8],
    positive: int,
    estimates: NDArray[np.int32],
    signs: int,
    weights: NDArray[np.int64],
    regressors: NDArray[np.int64],
    lean: int,
    tap: int,
) -> tuple[Coder, int]:
    """Code a sign, and let the regression learn from it.

    Args:
        coder: as in `code_bit`.
        data: as in `code_bit`.
        positive: what to encode, 0 or 1.
        estimates: all there are.
        signs: the sign's context in those of its neighbours.
        weights: all there are.
        regressors: what the sign is regressed on.
        lean: the stretched probability that it is positive, by regression.
        tap: its place in its kernel.
    """
    kind = min(tap, KINDS - 1)
    coder, positive = code_by_two(
        coder, data, positive, estimates, _SIGNS + signs, lean, weights, _SIGN_ROWS + kind, _RATE
    )
    error = ((positive << PROBABILITY_BITS) - squash(lean)) * _SIGN_RATE
    learning = np.uintp(_REGRESSION + kind)
    for before in range(min(tap, BEFORE)):
        weights[learning, np.uintp(before)] += step(regressors[np.uintp(before)], error)
    for other in range(BEFORE, REGRESSORS):
        weights[learning, np.uintp(other)] += step(regressors[np.uintp(other)], error)
    return coder, positive


@compiled(
    types.Tuple([CODER, types.int64, types.int64])(  # type: ignore[no-untyped-call]
        CODER, DATA, types.int64, types.int64, ESTIMATES, WEIGHTS, INPUTS, _HINT, types.int64
    ),
    inline=True,
)
def _code_index(
    coder: Coder,
    data: NDArray[np.uint8],
    size: int,
    positive: int,
    estimates: NDArray[np.int32],
    weights: NDArray[np.int64],
    regressors: NDArray[np.int64],
    hint: Hint,
    unit_bits: int,
) -> tuple[Coder, int, int]:
    """Code an index, and return its magnitude, `size`, and whether it is positive.

    It is coded as whether it is zero, its sign, its magnitude in unary, and the rest of that; where there are units, so
    many of these, begun ones too, and then digits.
    """
    expected, by_means, nearby, signs, lean, tap, quantizer = hint
    given = 22 * (expected - 64 - 8 * unit_bits)  # nearly the stretched probability, where levels are Laplacian
    begun = (size + (1 << unit_bits) - 1) >> unit_bits
    scale = min(expected >> 2, 31)
    by_lean = 32 * min(divided(abs(lean), 100), 7) + scale
    mixer = _UNARY if tap > 0 else 0
    coded = 0
    while coded < _UNARY:
        odd = quantizer if coded < 2 else 0  # beyond, the quantizers are alike
        slots = (
            (2 * by_means + odd) * _UNARY + coded,
            (2 * (_BY_MEANS + nearby) + odd) * _UNARY + coded,
            (2 * (_BY_MEANS + _NEARBY + by_lean) + odd) * _UNARY + coded,
        )
        larger = int(begun > coded)
        coder, larger = code_by_four(coder, data, larger, estimates, slots, given, weights, mixer + coded, _RATE)
        if not larger:
            break
        coded += 1
        if coded == 1:
            coder, positive = _code_sign(coder, data, positive, estimates, signs, weights, regressors, lean, tap)
            agreement = lean if positive else -lean
            by_lean = 32 * min(divided(max(agreement + 800, 0), 100), 15) + scale
    if coded == _UNARY:
        coder, rest = code_rest(coder, data, estimates, _RESTS, min(scale >> 2, 7), begun - _UNARY + 1)
        coded += rest - 1
    if unit_bits > 0 and coded > 0:
        coder, coded = code_digits(coder, data, estimates, _DIGITS, unit_bits, coded, size - 1)
    return coder, coded, positive


@compiled(
    types.int64(
        _PLACE, DATA, ESTIMATES, WEIGHTS, PREDICTORS, LEVELS,
        types.int64, types.int64, types.int64, types.int64,
        _QUANTIZERS, _FOLLOWING,
    )
)  # fmt: skip
def code_levels(
    place: NDArray[np.int64],
    data: NDArray[np.uint8],
    estimates: NDArray[np.int32],
    weights: NDArray[np.int64],
    predictors: NDArray[np.int16],
    levels: NDArray[np.int32],
    taps: int,
    width: int,
    mean: int,
    unit_bits: int,
    quantizers: NDArray[np.int64],
    following: NDArray[np.int64],
) -> int:
    """Encode levels, or decode them, and return how many.

    Args:
        place: of a stream, where to or where from.
        data: of the stream.
        estimates: new ones.
        weights: new ones.
        predictors: new ones; empty where levels are not predicted.
        levels: shape (rows, columns), to read or to fill.
        taps: of a kernel: columns that follow each other and belong together.
        width: taps in a row of the kernel.
        mean: the magnitude, in 1/256, with which means begin.
        unit_bits: binary logarithm of the unit of magnitudes.
        quantizers: of each state of the trellis, 0 or 1; of one state alone where there is no trellis.
        following: shape (states, 2), the states after each state.
    Returns:
        fewer than there are where the stream has no more room, or a decoded level is beyond 16 bits.
    """
    rows, columns = levels.shape
    trellis = int(quantizers.size > 1)
    means, states = np.full(columns, mean, np.int32), np.zeros(columns, np.uint16)
    four, sixteen = np.zeros(columns, np.int8), np.zeros(columns, np.int8)
    regressors = np.zeros(REGRESSORS, np.int64)
    values, scale = np.zeros(columns, np.int16), hint_scale(mean)
    all_mean, all_seen = mean, _FIRST_SEEN
    coder, done = (place[0], place[1], place[2], place[3]), 0
    decoding = place[3]
    for row in range(rows):
        there = np.uintp(row)
        row_mean, seen = mean, min(_FIRST_SEEN + row, _MOST_SEEN)
        tap, near_sum, power = 0, 0, expected_power(mean)
        for column in range(columns):
            if not decoding and coder[2] + ROOM > data.size:
                break
            here, state = np.uintp(column), states[column]
            quantizer = quantizers[np.uintp(state)]
            kind = _REGRESSION + min(tap, KINDS - 1)
            sums = (four[here], sixteen[here])
            prediction = predicted(predictors, values, column)
            regressors[PREDICTED] = hint_of(prediction, scale)
            lean = as_stretched(regressed(levels, row, column, tap, taps, sums, weights, kind, regressors))
            of_row, of_column = logarithm(row_mean + MEAN_OFFSET), logarithm(means[here] + MEAN_OFFSET)
            hint = (
                clipped(of_row + of_column - logarithm(all_mean + MEAN_OFFSET), 0, 255),
                25 * min(divided(of_row, 5), 24) + min(divided(of_column, 5), 24),
                nearby_context(levels, row, column, tap, taps, near_sum),
                sign_context(levels, row, column, tap, width),
                lean,
                tap,
                quantizer,
            )
            level = levels[there, here]
            size = (abs(level) + trellis * quantizer) >> trellis
            coder, size, positive = _code_index(
                coder, data, size, int(level > 0), estimates, weights, regressors, hint, unit_bits
            )
            magnitude = (size << trellis) - (trellis * quantizer if size > 0 else 0)
            if decoding:
                level = magnitude if positive else -magnitude
                if level > MOST_LEVEL or level <= -MOST_LEVEL:
                    break
                levels[there, here] = level
            states[here] = following[np.uintp(state), np.uintp(size & 1)]
            row_mean = moved(row_mean, magnitude, min(_FIRST_SEEN + column, _MOST_SEEN))
            means[here] = moved(means[here], magnitude, seen)
            all_mean = moved(all_mean, magnitude, all_seen)
            all_seen = min(all_seen + 1, _MOST_SEEN_OF_ALL)
            value = clipped(level, -NEAR, NEAR)
            four[here] += value - near(levels, row - 4, column, NEAR)
            sixteen[here] += value - near(levels, row - 16, column, NEAR)
            near_sum += magnitude - (abs(levels[there, np.uintp(column - BEFORE)]) if tap >= BEFORE else 0)
            power = learn(predictors, values, column, level, prediction, power)
            tap += 1
            if tap == taps:
                tap, near_sum = 0, 0
            done += 1
        if done < (row + 1) * columns:
            break
    place[0], place[1], place[2], place[3] = coder
    return done
