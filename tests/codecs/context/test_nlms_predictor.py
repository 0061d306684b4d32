"""Weights at their bounds, which streams of real levels hardly reach; the streams themselves check the rest."""

import numpy as np
import pytest

from compress.codecs.context.nlms_predictor import predict, update

COLUMNS = 1025


@pytest.fixture
def row():
    """Weights of shape (columns, 1024) and levels of shape (columns,); many have the largest value allowed."""
    random = np.random.default_rng(5)
    predictors = random.integers(-32_767, 32_768, (COLUMNS, 1024)).astype(np.int16)
    predictors[random.random(predictors.shape) < 0.3] = 32_767
    predictors[random.random(predictors.shape) < 0.3] = -32_767
    return predictors, random.integers(-15, 16, COLUMNS).astype(np.int16)


@pytest.mark.parametrize("column", [0, 1, 17, 511, 1024])
def test_a_prediction_is_the_weighted_sum_of_the_levels_before(row, column):
    predictors, values = row
    assert predict(predictors, values, column) == int(predictors[column, :column].astype(int) @ values[:column])


@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_prediction_fits(sign):
    predictors, values = np.full((COLUMNS, 1024), sign * 32_767, np.int16), np.full(COLUMNS, 15, np.int16)
    assert predict(predictors, values, 1024) == sign * 32_767 * 15 * 1024


@pytest.mark.parametrize("column", [1, 17, 511, 1024])
@pytest.mark.parametrize(("prediction", "power"), [(-(10**9), 1), (10**9, 1), (0, 7), (3000, 50_000), (-70_000, 900)])
def test_weights_change_by_a_rounded_step_and_stay_within_their_bounds(row, column, prediction, power):
    predictors, values = row
    before, levels = predictors.copy(), values[:column].astype(int)
    error = (4 << 14) - prediction
    step = np.sign(error) * min(abs(error) * 77 // (4 * power), 32_767)
    update(predictors, values, column, 4, prediction, power)
    moved = before[column, :column] + ((step * levels + 32) >> 6)
    np.testing.assert_array_equal(predictors[column, :column], np.clip(moved, -32_767, 32_767))
    np.testing.assert_array_equal(np.delete(predictors, column, 0), np.delete(before, column, 0))
    assert values[column] == 4
