"""Step sizes from the cost of errors."""

from __future__ import annotations

import numpy as np
import pytest

from compress.calibration.packed_triangular import diagonals
from compress.quantization.step_sizes import relative_steps, step_exponents, steps_by_magnitude
from compress.tensors.scales import scale_of


def test_errors_cost_what_their_bits_save(tiny, context):
    """At high rate the variance of errors is step ** 2 / 12, and one bit less doubles the step."""
    statistics = context.fisher.layer_statistics(None)["2.weight"]
    diagonal = diagonals(statistics.row_inverse_cholesky(0))
    relative = relative_steps(statistics.row_fisher, diagonal)
    rows, columns, _ = step_exponents(relative, (12, 8, 3, 3), 1e-5)
    steps = np.add.outer(rows.astype(int), np.repeat(columns, 9).astype(int))
    saved_by_a_bit = np.log(2) * np.outer(statistics.row_fisher, diagonal**-2.0) * scale_of(steps) ** 2 / 12
    # Exponents of rows and columns are rounded by up to an eighth of an octave. The nine taps of a kernel share a step.
    assert np.median(saved_by_a_bit) == pytest.approx(1e-5, rel=0.2)


def test_if_rows_are_equal_few_columns_change_their_step_at_one_lambda():
    """Otherwise the bytes of a layer would jump at some values of lambda."""

    def exponents(lambda_):
        rows, columns, _ = step_exponents(relative_steps(np.full(8, 0.01), np.ones((1, 100))), (8, 100), lambda_)
        assert len(set(rows.tolist())) == 1
        return rows[0] + columns.astype(int)

    changed = [int((exponents(1e-5 * 1.02 ** (n + 1)) != exponents(1e-5 * 1.02**n)).sum()) for n in range(35)]
    assert sum(changed) == pytest.approx(200, abs=15)  # four times lambda is four exponents
    assert max(changed) < 15
    assert all((np.diff(exponents(1e-5 * 1.02**n)) >= 0).all() for n in range(35))


def test_each_row_takes_the_nearest_exponent():
    costs = 0.01 * 4.0 ** np.arange(6)
    rows, columns, _ = step_exponents(relative_steps(costs, np.ones((1, 8))), (6, 8), 1e-5)
    expected = 2 * np.log2(12 / np.log(2) * 1e-5 / costs)
    assert rows.tolist() == np.rint(expected).tolist()
    # The rounding error is the same in all rows, so the columns absorb it.
    assert (rows[:, None] + columns).mean() == pytest.approx(expected.mean(), abs=0.5 / 8)


def test_steps_by_magnitude_follow_rows_and_channels_and_ignore_pruned_weights():
    weights = np.outer([1, 8, 0, 1], np.repeat([1.0, 4], 3)) * np.array([1, -1, 1, -1, 1, -1])
    weights[3, :3] = 0
    steps = steps_by_magnitude(np.full((4, 6), 5.0), weights, taps=3)
    assert steps.mean() == pytest.approx(5)
    assert np.ptp(steps[:, :3], axis=1).max() == 0
    assert steps[1, 0] - steps[0, 0] == pytest.approx(0.75 * 3)
    assert (steps[:, 3] - steps[:, 0]).min() > 0.75
    assert np.isfinite(steps_by_magnitude(np.zeros((2, 2)), np.zeros((2, 2)), taps=1)).all()
