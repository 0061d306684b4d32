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

from compress.codecs.arithmetic import AT, DATA, DECODING, PLACE, PROBABILITY_BITS, ROOM
from compress.codecs.logistic import (
    ESTIMATES,
    INPUTS,
    SLOTS,
    UNDECIDED,
    WEIGHTS,
    code_by_many,
    code_by_one,
    learn,
    mixed,
    squash,
)
from compress.codecs.neighbours import (
    KINDS,
    LEVELS,
    MEAN_OFFSET,
    NEAR,
    REGRESSORS,
    clipped,
    logarithm,
    moved,
    near,
    nearby_context,
    regress_on,
    sign_context,
)
from compress.compiled import compiled

MOST_LEVEL = 1 << 15
"""The largest level; the least is one nearer to zero."""

_UNARY = 6  # decisions "larger still?" before the rest of a magnitude is an Exp-Golomb code
_FIRST_SEEN, _MOST_SEEN, _MOST_SEEN_OF_ALL = 2, 70, 255  # magnitudes that a mean stands for: at first, and at most
_BY_MEANS, _NEARBY, _BY_LEAN = 25 * 25, 16 * 64, 16 * 32  # contexts of a magnitude, of three sorts
_EXPONENTS = 16
_SIGNS = 2 * _UNARY * (_BY_MEANS + _NEARBY + _BY_LEAN)  # where estimates of signs begin
_RESTS = _SIGNS + 27 * KINDS
_SIGN_ROWS = 2 * _UNARY  # where weights of signs begin
_REGRESSION = _SIGN_ROWS + KINDS
_RATE, _SIGN_RATE = 6, 10

_HINT = types.Tuple([types.int64] * 7)  # type: ignore[no-untyped-call]
_QUANTIZERS = types.Array(types.int64, 1, "C", readonly=True)
_FOLLOWING = types.Array(types.int64, 2, "C", readonly=True)

Hint = tuple[int, int, int, int, int, int, int]
"""What those before tell of a level.

expected: the logarithm of its magnitude, by its row and its column, as if these were independent.
by_means: its magnitude's context in the means of its row and column.
nearby: its magnitude's context in its neighbours.
signs: its sign's context.
lean: the stretched probability that it is positive, by regression.
tap: its place in its kernel, those beyond `KINDS` as one.
quantizer: which one applies, 0 or 1.
"""


def new_estimates() -> NDArray[np.int32]:
    """Return estimates that saw no bit: of magnitudes, of signs, and of the rests of large magnitudes."""
    return np.full(_RESTS + (8 + 24) * _EXPONENTS, UNDECIDED, dtype=np.int32)


def new_weights() -> NDArray[np.int64]:
    """Return the weights that the inputs begin with: of magnitudes, of signs, and of the regression of signs."""
    begin = np.repeat(np.array([18_000, 30_000, 0], dtype=np.int64), [_SIGN_ROWS, KINDS, KINDS])
    return np.repeat(begin, REGRESSORS).reshape(-1, REGRESSORS)


@compiled(types.int64(PLACE, DATA, ESTIMATES, types.int64, types.int64))
def _code_rest(
    place: NDArray[np.int64], data: NDArray[np.uint8], estimates: NDArray[np.int32], scale: int, rest: int
) -> int:
    """Code a whole number from 1 to 65,535: how many binary digits follow its first, and these."""
    exponent = 0
    while exponent < _EXPONENTS - 1:
        longer = int(rest >> (exponent + 1) > 0)
        if not code_by_one(place, data, longer, estimates, _RESTS + scale * _EXPONENTS + exponent):
            break
        exponent += 1
    number = 1
    for digit in range(exponent - 1, -1, -1):
        which = number if number < 8 else 8 + digit  # later digits are nearly even, whatever came before
        slot = _RESTS + 8 * _EXPONENTS + 24 * exponent + which
        number = 2 * number + code_by_one(place, data, (rest >> digit) & 1, estimates, slot)
    return number


@compiled(
    types.int64(PLACE, DATA, ESTIMATES, SLOTS, INPUTS, WEIGHTS, _HINT, types.int64, types.int64, types.int64),
    inline=True,
)
def _code_larger(
    place: NDArray[np.int64],
    data: NDArray[np.uint8],
    estimates: NDArray[np.int32],
    slots: NDArray[np.int64],
    inputs: NDArray[np.int64],
    weights: NDArray[np.int64],
    hint: Hint,
    by_lean: int,
    coded: int,
    larger: int,
) -> int:
    """Code whether a magnitude is larger than `coded`."""
    expected, by_means, nearby, _, _, tap, quantizer = hint
    quantizer = quantizer if coded < 2 else 0  # beyond, the quantizers are alike
    slots[0] = (2 * by_means + quantizer) * _UNARY + coded
    slots[1] = (2 * (_BY_MEANS + nearby) + quantizer) * _UNARY + coded
    slots[2] = (2 * (_BY_MEANS + _NEARBY + by_lean) + quantizer) * _UNARY + coded
    inputs[3] = 22 * (expected - 64)  # nearly the stretched probability, where levels are Laplacian
    row = coded + (_UNARY if tap > 0 else 0)
    return code_by_many(place, data, larger, estimates, slots, 3, inputs, 4, weights, row, _RATE)


@compiled(
    types.int64(PLACE, DATA, ESTIMATES, SLOTS, INPUTS, WEIGHTS, INPUTS, _HINT, types.int64),
    inline=True,
)
def _code_sign(
    place: NDArray[np.int64],
    data: NDArray[np.uint8],
    estimates: NDArray[np.int32],
    slots: NDArray[np.int64],
    inputs: NDArray[np.int64],
    weights: NDArray[np.int64],
    regressors: NDArray[np.int64],
    hint: Hint,
    positive: int,
) -> int:
    _, _, _, signs, lean, tap, _ = hint
    slots[0] = _SIGNS + signs
    inputs[1] = lean
    row = _SIGN_ROWS + tap
    positive = code_by_many(place, data, positive, estimates, slots, 1, inputs, 2, weights, row, _RATE)
    error = (positive << PROBABILITY_BITS) - squash(lean)
    learn(regressors, REGRESSORS, weights, _REGRESSION + tap, error, _SIGN_RATE)
    return positive


@compiled(
    types.int64(PLACE, DATA, ESTIMATES, SLOTS, INPUTS, WEIGHTS, INPUTS, _HINT, types.int64),
    inline=True,
)
def _code_index(
    place: NDArray[np.int64],
    data: NDArray[np.uint8],
    estimates: NDArray[np.int32],
    slots: NDArray[np.int64],
    inputs: NDArray[np.int64],
    weights: NDArray[np.int64],
    regressors: NDArray[np.int64],
    hint: Hint,
    index: int,
) -> int:
    """Code an index: whether it is zero, its sign, its magnitude in unary, and the rest of that."""
    expected, _, _, _, lean, _, _ = hint
    scale = min(expected // 4, 31)
    by_lean = 32 * min(abs(lean) // 100, 7) + scale
    size, coded, positive = abs(index), 0, int(index > 0)
    while coded < _UNARY:
        larger = int(size > coded)
        if not _code_larger(place, data, estimates, slots, inputs, weights, hint, by_lean, coded, larger):
            break
        coded += 1
        if coded == 1:
            positive = _code_sign(place, data, estimates, slots, inputs, weights, regressors, hint, positive)
            agreement = lean if positive else -lean
            by_lean = 32 * clipped(agreement // 100 + 8, 0, 15) + scale
    if coded == _UNARY:
        coded += _code_rest(place, data, estimates, min(scale // 4, 7), size - _UNARY + 1) - 1
    return coded if positive else -coded


@compiled(
    types.int64(PLACE, DATA, ESTIMATES, WEIGHTS, LEVELS, types.int64, types.int64, types.int64, _QUANTIZERS, _FOLLOWING)
)
def code_levels(
    place: NDArray[np.int64],
    data: NDArray[np.uint8],
    estimates: NDArray[np.int32],
    weights: NDArray[np.int64],
    levels: NDArray[np.int32],
    taps: int,
    width: int,
    mean: int,
    quantizers: NDArray[np.int64],
    following: NDArray[np.int64],
) -> int:
    """Encode levels, or decode them, and return how many.

    Args:
        place: of a stream, where to or where from.
        data: of the stream.
        estimates: new ones.
        weights: new ones.
        levels: shape (rows, columns), to read or to fill.
        taps: of a kernel: columns that follow each other and belong together.
        width: taps in a row of the kernel.
        mean: the magnitude, in 1/256, with which means begin.
        quantizers: of each state of the trellis, 0 or 1; of one state alone where there is no trellis.
        following: shape (states, 2), the states after each state.
    Returns:
        fewer than there are where the stream has no more room, or a decoded level is beyond 16 bits.
    """
    rows, columns = levels.shape
    step = min(2, quantizers.size)
    means, states = np.full(columns, mean, np.int32), np.zeros(columns, np.uint8)
    four, sixteen = np.zeros(columns, np.int8), np.zeros(columns, np.int8)
    all_mean, all_seen = mean, _FIRST_SEEN
    done = 0
    slots, inputs, regressors = np.zeros(3, np.int64), np.zeros(4, np.int64), np.zeros(REGRESSORS, np.int64)
    for row in range(rows):
        row_mean, seen = mean, min(_FIRST_SEEN + row, _MOST_SEEN)
        for column in range(columns):
            if not place[DECODING] and place[AT] + ROOM > data.size:
                return done
            tap = column % taps
            quantizer = quantizers[states[column]]
            regress_on(levels, row, column, tap, taps, four[column], sixteen[column], regressors)
            kind = min(tap, KINDS - 1)
            of_row, of_column = logarithm(row_mean + MEAN_OFFSET), logarithm(means[column] + MEAN_OFFSET)
            hint = (
                clipped(of_row + of_column - logarithm(all_mean + MEAN_OFFSET), 0, 255),
                25 * min(of_row // 5, 24) + min(of_column // 5, 24),
                nearby_context(levels, row, column, tap, taps),
                sign_context(levels, row, column, tap, width),
                mixed(regressors, REGRESSORS, weights, _REGRESSION + kind),
                kind,
                quantizer,
            )
            level = levels[row, column]
            halved = (abs(level) + (step - 1) * quantizer) // step
            index = halved if level > 0 else -halved
            index = _code_index(place, data, estimates, slots, inputs, weights, regressors, hint, index)
            if place[DECODING]:
                level = step * index - (step - 1) * quantizer * clipped(index, -1, 1)
                if level > MOST_LEVEL or level <= -MOST_LEVEL:
                    return done
                levels[row, column] = level
            states[column] = following[states[column], index & 1]
            row_mean = moved(row_mean, abs(level), min(_FIRST_SEEN + column, _MOST_SEEN))
            means[column] = moved(means[column], abs(level), seen)
            all_mean = moved(all_mean, abs(level), all_seen)
            all_seen = min(all_seen + 1, _MOST_SEEN_OF_ALL)
            four[column] += near(levels, row, column, NEAR) - near(levels, row - 4, column, NEAR)
            sixteen[column] += near(levels, row, column, NEAR) - near(levels, row - 16, column, NEAR)
            done += 1
    return done
