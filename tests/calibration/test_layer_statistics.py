from __future__ import annotations

import numpy as np
import pytest

from compress.calibration.layer_statistics import LayerStatistics
from compress.calibration.packed_triangular import packed, upper


class TestFeedback:
    def statistics(self, columns=6, photos=40):
        x = np.random.default_rng(0).standard_normal((photos, columns)) @ np.random.default_rng(1).random((columns, 6))
        return LayerStatistics(x.T @ x / photos, np.ones(2))

    def damped(self, statistics, damping=0.01):
        return statistics.moment + damping * np.diag(statistics.moment).mean() * np.eye(len(statistics.moment))

    @pytest.mark.parametrize("column", range(6))
    def test_an_error_made_up_for_costs_its_square_over_the_squared_diagonal(self, column):
        statistics = self.statistics()
        u = statistics.feedback()
        e = 0.3
        error = np.zeros(6)
        error[column] = -e
        error[column + 1 :] = -e / u[column, column] * u[column, column + 1 :]
        cost = error @ self.damped(statistics) @ error
        assert cost == pytest.approx(e**2 / u[column, column] ** 2)

    @pytest.mark.parametrize("column", range(6))
    def test_no_other_change_of_the_later_columns_costs_less(self, column):
        statistics = self.statistics()
        moment, u = self.damped(statistics), statistics.feedback()
        later = slice(column + 1, None)
        best = -np.linalg.solve(moment[later, later], moment[later, column]) * -0.3
        np.testing.assert_allclose(-0.3 / u[column, column] * u[column, later], best, rtol=1e-8, atol=1e-12)

    def test_the_factor_is_upper_triangular_and_its_square_is_the_inverse(self):
        statistics = self.statistics()
        u = statistics.feedback(damping=0.1)
        assert not np.tril(u, -1).any()
        np.testing.assert_allclose(u.T @ u, np.linalg.inv(self.damped(statistics, 0.1)))

    def test_each_rows_factor_is_that_of_its_own_moment_and_its_layers(self):
        random = np.random.default_rng(0)
        moments = [x.T @ x / np.trace(x.T @ x) for x in random.standard_normal((40, 9, 6))]
        own = np.stack(moments).astype(np.float32)
        statistics = LayerStatistics(own.mean(0).astype(np.float64), np.ones(40), None, packed(own))
        factors = upper(statistics.row_feedback(0.3))
        assert factors.shape == (40, 6, 6)
        for factor, moment in zip(factors, own, strict=True):
            mixed = LayerStatistics(0.3 * moment.astype(np.float64) + 0.7 * statistics.moment, np.ones(40))
            np.testing.assert_allclose(factor, mixed.feedback(), rtol=1e-4, atol=1e-4)

    def test_factors_can_take_the_place_of_what_they_are_made_of(self):
        own = np.repeat(self.statistics().moment[None], 40, 0).astype(np.float32)
        own += np.linspace(0, 0.1, 40, dtype=np.float32)[:, None, None] * np.eye(6, dtype=np.float32)
        moment, own = own.mean(0).astype(np.float64), packed(own)
        statistics = LayerStatistics(moment, np.ones(40), None, own)
        apart = statistics.row_feedback(0.3)
        assert statistics.row_feedback(0.3, out=own) is own
        np.testing.assert_array_equal(own, apart)

    def test_without_rows_of_their_own_all_have_the_layers_factor(self):
        statistics = self.statistics()
        factors = upper(statistics.row_feedback(0.3))
        assert factors.shape == (1, 6, 6)
        np.testing.assert_allclose(factors[0], statistics.feedback(), rtol=1e-6)


def test_a_groups_factor_takes_the_mean_of_its_rows_damping():
    own = np.repeat(np.eye(3, dtype=np.float32)[None] / 3, 2, 0)
    statistics = LayerStatistics(np.eye(3) / 3, np.ones(5), own=packed(own))
    factors = upper(statistics.row_feedback(0.5, np.array([0.1, 0.2, 0.3, 1.0, 3.0])))
    # Rows 0 to 2 belong to group 0; the moment's diagonal is 1/3, its mean too.
    for factor, damping in zip(factors, (0.2, 2.0), strict=True):
        np.testing.assert_allclose(factor, np.eye(3) / np.sqrt((1 + damping) / 3), rtol=1e-6)


def test_the_correlation_between_rows_is_believed_in_part():
    between = np.array([[1, -0.6, 0.2], [-0.6, 1, 0.4], [0.2, 0.4, 1]], np.float32)
    factor = LayerStatistics(np.eye(2), np.ones(3), between=between).coupling(0.5)
    believed = [[1, -0.3, 0.1], [-0.3, 1, 0.2], [0.1, 0.2, 1]]
    np.testing.assert_allclose(np.linalg.inv(factor.T @ factor), believed, atol=1e-6)
    assert np.array_equal(factor, np.triu(factor))
    assert LayerStatistics(np.eye(2), np.ones(3)).coupling(0.5) is None


def test_a_weights_cost_is_its_rows_cost_times_its_columns_moment():
    statistics = LayerStatistics(np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([5.0, 7.0, 0.5]))
    assert statistics.weight_cost().tolist() == [[10, 15], [14, 21], [1, 1.5]]


def test_pooling_keeps_the_moment_and_the_mean_cost():
    statistics = LayerStatistics(np.eye(2), np.array([1.0, 5.0]))
    assert statistics.pooled().output_cost.tolist() == [3, 3]
    assert np.array_equal(statistics.pooled().moment, np.eye(2))
