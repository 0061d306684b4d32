"""The coder of levels: contexts, adaptive probabilities and mixers of codec `context`.

Levels are coded row by row. A magnitude is predicted from the mean magnitudes of its row and column, from its
neighbors, and from the certainty of its sign. Signs are predictable where taps of a kernel, or rows, are correlated.
Every number is part of the format (docs/format.md).
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray

from compress.codecs.context.context_model import (
    MAX_NEIGHBOR,
    MEAN_OFFSET,
    PREDICTION_INPUT,
    SIGN_INPUTS,
    TAP_KINDS,
    TAPS_BEFORE,
    Levels,
    clip,
    clipped_level,
    divide_unsigned,
    log2_eighths,
    neighborhood_context,
    sign_context,
    sign_regression,
    updated_mean,
)
from compress.codecs.context.escape_codes import ESCAPE_PROBABILITIES, code_digits, code_escape, new_digit_probabilities
from compress.codecs.context.logistic_mixing import (
    INITIAL_PROBABILITY,
    CoderArrays,
    Probabilities,
    Weights,
    code_mixed_2,
    code_mixed_4,
    mixed_logit,
    sigmoid,
    weight_step,
)
from compress.codecs.context.nlms_predictor import (
    INPUT_SCALE,
    Predictors,
    Values,
    initial_power,
    new_predictors,
    predict,
    sign_input,
    update,
)
from compress.codecs.primitives.range_coder import OUTPUT_MARGIN_BYTES, PROBABILITY_BITS, Bytes, Coder
from compress.codecs.primitives.symbol_histogram import Counts
from compress.codecs.primitives.trellis import NextStates, Quantizers, States, index_of, level_of
from compress.runtime.jit import Contiguous, compiled

MAX_LEVEL = 1 << 15
"""The largest level; the smallest is 1 - MAX_LEVEL."""

_UNARY = 6  # decisions "larger?" before the escape code of a magnitude
_INITIAL_COUNT, _MAX_COUNT, _MAX_TOTAL_COUNT = 2, 70, 255  # counts of the running means, of rows and columns and of all
_MEAN_CONTEXTS, _NEIGHBORHOODS, _SIGN_LOGITS = 25 * 25, 16 * 64, 16 * 32  # the three contexts of a magnitude
_SIGNS = 2 * _UNARY * (_MEAN_CONTEXTS + _NEIGHBORHOODS + _SIGN_LOGITS)  # first probability of signs
_ESCAPES = _SIGNS + 27 * TAP_KINDS
_DIGITS = _ESCAPES + ESCAPE_PROBABILITIES
_SIGN_MIXERS = 2 * _UNARY  # first row of weights of signs
_SIGN_REGRESSIONS = _SIGN_MIXERS + TAP_KINDS
_SIGN_RATE = 10

_INITIAL_WEIGHTS = np.tile(
    np.repeat(np.array([18_000, 30_000, 0], dtype=np.int64), [_SIGN_MIXERS, TAP_KINDS, TAP_KINDS])[:, None], SIGN_INPUTS
)
_INITIAL_WEIGHTS[_SIGN_REGRESSIONS:, PREDICTION_INPUT] = 30_000

_Means = Annotated[NDArray[np.int32], Contiguous(1)]
_Sums = Annotated[NDArray[np.int8], Contiguous(1)]

Contexts = tuple[int, int, int, int, int, int, int]
"""The contexts of a level: logarithm of the expected magnitude if row and column were independent; mean magnitudes of
row and column; neighbors' magnitudes; neighbors' signs; logit of a positive sign; tap; quantizer, 0 or 1."""


class LevelStatistics(NamedTuple):
    """What the coder learns from levels.

    Attributes:
        probabilities: adaptive, by slot.
        weights: of mixers and regressions, shape (mixers, inputs).
        inputs: of the sign logit.
        predictors: see `new_predictors`.
        values: levels of the row, as `update` clips them; this and the next have the shape (columns,).
        means: running mean magnitudes, in units of 1/256.
        states: of the trellis.
        sums_of_4: sums of the 4 clipped levels above.
        sums_of_16: sums of the 16 clipped levels above.
    """

    probabilities: NDArray[np.int32]
    weights: NDArray[np.int64]
    inputs: NDArray[np.int64]
    predictors: NDArray[np.int16]
    values: NDArray[np.int16]
    means: NDArray[np.int32]
    states: NDArray[np.uint16]
    sums_of_4: NDArray[np.int8]
    sums_of_16: NDArray[np.int8]


def initial_statistics(shape: tuple[int, int], mean: int, unit_bits: int, prediction: bool) -> LevelStatistics:
    """Return the statistics before the first level of a matrix; `mean` and `unit_bits` as in `code_levels`."""
    columns = shape[1]
    return LevelStatistics(
        np.concatenate([np.full(_DIGITS, INITIAL_PROBABILITY, dtype=np.int32), new_digit_probabilities(unit_bits)]),
        _INITIAL_WEIGHTS.copy(),
        np.zeros(SIGN_INPUTS, np.int64),
        new_predictors(shape, prediction),
        np.zeros(columns, np.int16),
        np.full(columns, mean, np.int32),
        np.zeros(columns, np.uint16),
        np.zeros(columns, np.int8),
        np.zeros(columns, np.int8),
    )


@compiled(inline=True)
def _code_sign(
    coder: Coder, arrays: CoderArrays, positive: int, signs: int, sign_logit: int, tap: int
) -> tuple[Coder, int]:
    """Code a sign, 0 or 1, and update the regression with it."""
    kind = min(tap, TAP_KINDS - 1)
    coder, positive = code_mixed_2(coder, arrays, positive, _SIGNS + signs, sign_logit, _SIGN_MIXERS + kind)
    error = ((positive << PROBABILITY_BITS) - sigmoid(sign_logit)) * _SIGN_RATE
    weights, inputs = arrays.weights[np.uintp(_SIGN_REGRESSIONS + kind)], arrays.inputs
    for before in range(min(tap, TAPS_BEFORE)):
        weights[np.uintp(before)] += weight_step(inputs[np.uintp(before)], error)
    for other in range(TAPS_BEFORE, SIGN_INPUTS):
        weights[np.uintp(other)] += weight_step(inputs[np.uintp(other)], error)
    return coder, positive


@compiled(inline=True)
def _code_index(
    coder: Coder, arrays: CoderArrays, magnitude: int, positive: int, contexts: Contexts, unit_bits: int
) -> tuple[Coder, int, int]:
    """Code the magnitude of an index in units, in unary with the sign after the first unit; an escape code; digits."""
    expected, means, neighborhood, signs, sign_logit, tap, quantizer = contexts
    logit = 22 * (expected - 64 - 8 * unit_bits)  # about the logit of "larger?" for Laplacian levels
    units = (magnitude + (1 << unit_bits) - 1) >> unit_bits
    scale = min(expected >> 2, 31)
    certainty = 32 * min(divide_unsigned(abs(sign_logit), 100), 7) + scale
    mixer = _UNARY if tap > 0 else 0
    coded = 0
    while coded < _UNARY:
        odd = quantizer if coded < 2 else 0  # larger magnitudes are alike in both quantizers
        slots = (
            (2 * means + odd) * _UNARY + coded,
            (2 * (_MEAN_CONTEXTS + neighborhood) + odd) * _UNARY + coded,
            (2 * (_MEAN_CONTEXTS + _NEIGHBORHOODS + certainty) + odd) * _UNARY + coded,
        )
        larger = int(units > coded)
        coder, larger = code_mixed_4(coder, arrays, larger, slots, logit, mixer + coded)
        if not larger:
            break
        coded += 1
        if coded == 1:
            coder, positive = _code_sign(coder, arrays, positive, signs, sign_logit, tap)
            agreement = sign_logit if positive else -sign_logit
            certainty = 32 * min(divide_unsigned(max(agreement + 800, 0), 100), 15) + scale
    if coded == _UNARY:
        coder, escape = code_escape(coder, arrays, _ESCAPES, min(scale >> 2, 7), units - _UNARY + 1)
        coded += escape - 1
    if unit_bits > 0 and coded > 0:
        coder, coded = code_digits(coder, arrays, _DIGITS, unit_bits, coded, magnitude - 1)
    return coder, coded, positive


@compiled()
def code_levels(
    place: Counts,
    data: Bytes,
    probabilities: Probabilities,
    weights: Weights,
    inputs: Counts,
    predictors: Predictors,
    values: Values,
    means: _Means,
    states: States,
    sums_of_4: _Sums,
    sums_of_16: _Sums,
    levels: Levels,
    taps: int,
    width: int,
    mean: int,
    unit_bits: int,
    quantizers: Quantizers,
    next_state: NextStates,
) -> int:
    """Encode levels, or decode them, and return how many: fewer if the output is full or a level is out of range.

    `place` and `data` are a `Stream`, `probabilities` to `sums_of_16` are `LevelStatistics`, `quantizers` and
    `next_state` a `Trellis`. The columns are `taps` of kernels of this `width`. `mean` is the initial mean magnitude,
    in units of 1/256.
    """
    rows, columns = levels.shape
    has_trellis = quantizers.size > 1
    arrays, scale = CoderArrays(data, probabilities, weights, inputs), divide_unsigned(INPUT_SCALE, max(mean, 1))
    total_mean, total_count = mean, _INITIAL_COUNT
    coder, done = (place[0], place[1], place[2], place[3]), 0
    decoding = place[3]
    for row in range(rows):
        there = np.uintp(row)
        row_mean, count = mean, min(_INITIAL_COUNT + row, _MAX_COUNT)
        tap, near_sum, power = 0, 0, initial_power(mean)
        for column in range(columns):
            if not decoding and coder[2] + OUTPUT_MARGIN_BYTES > data.size:
                break
            here, state = np.uintp(column), states[column]
            quantizer = quantizers[np.uintp(state)]
            weights_row = _SIGN_REGRESSIONS + min(tap, TAP_KINDS - 1)
            sums = (sums_of_4[here], sums_of_16[here])
            prediction = predict(predictors, values, column)
            arrays.inputs[PREDICTION_INPUT] = sign_input(prediction, scale)
            sign_logit = mixed_logit(sign_regression(levels, row, column, tap, taps, sums, arrays, weights_row))
            row_log, column_log = log2_eighths(row_mean + MEAN_OFFSET), log2_eighths(means[here] + MEAN_OFFSET)
            contexts = (
                clip(row_log + column_log - log2_eighths(total_mean + MEAN_OFFSET), 0, 255),
                25 * min(divide_unsigned(row_log, 5), 24) + min(divide_unsigned(column_log, 5), 24),
                neighborhood_context(levels, row, column, tap, taps, near_sum),
                sign_context(levels, row, column, tap, width),
                sign_logit,
                tap,
                quantizer,
            )
            level = levels[there, here]
            index = index_of(level) if has_trellis else level
            coder, index, positive = _code_index(coder, arrays, abs(index), int(level > 0), contexts, unit_bits)
            magnitude = level_of(index, quantizer) if has_trellis else index
            if decoding:
                level = magnitude if positive else -magnitude
                if level > MAX_LEVEL or level <= -MAX_LEVEL:
                    break
                levels[there, here] = level
            states[here] = next_state[np.uintp(state), np.uintp(index & 1)]
            row_mean = updated_mean(row_mean, magnitude, min(_INITIAL_COUNT + column, _MAX_COUNT))
            means[here] = updated_mean(means[here], magnitude, count)
            total_mean = updated_mean(total_mean, magnitude, total_count)
            total_count = min(total_count + 1, _MAX_TOTAL_COUNT)
            value = clip(level, -MAX_NEIGHBOR, MAX_NEIGHBOR)
            sums_of_4[here] += value - clipped_level(levels, row - 4, column, MAX_NEIGHBOR)
            sums_of_16[here] += value - clipped_level(levels, row - 16, column, MAX_NEIGHBOR)
            near_sum += magnitude - (abs(levels[there, np.uintp(column - TAPS_BEFORE)]) if tap >= TAPS_BEFORE else 0)
            power = update(predictors, values, column, level, prediction, power)
            tap += 1
            if tap == taps:
                tap, near_sum = 0, 0
            done += 1
        if done < (row + 1) * columns:
            break
    place[0], place[1], place[2], place[3] = coder
    return done
