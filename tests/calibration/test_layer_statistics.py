from __future__ import annotations

import numpy as np
import pytest
import torch

from compress.calibration.layer_statistics import LayerStatistics, inverse_cholesky
from compress.calibration.packed_triangular import packed, upper


def factor_of(statistics, damping=0.01):
    hessians = {}
    statistics.for_each_row_hessian(hessians.__setitem__, 0, damping)
    return inverse_cholesky(hessians[0])


class TestFeedback:
    def statistics(self, columns=6, photos=40):
        x = np.random.default_rng(0).standard_normal((photos, columns)) @ np.random.default_rng(1).random((columns, 6))
        return LayerStatistics(x.T @ x / photos, np.ones(2))

    def damped(self, statistics, damping=0.01):
        return statistics.input_factor + damping * np.diag(statistics.input_factor).mean() * np.eye(
            len(statistics.input_factor)
        )

    @pytest.mark.parametrize("column", range(6))
    def test_error_feedback_leaves_the_squared_error_over_the_squared_diagonal(self, column):
        statistics = self.statistics()
        u = factor_of(statistics)
        e = 0.3
        error = np.zeros(6)
        error[column] = -e
        error[column + 1 :] = -e / u[column, column] * u[column, column + 1 :]
        cost = error @ self.damped(statistics) @ error
        assert cost == pytest.approx(e**2 / u[column, column] ** 2)

    @pytest.mark.parametrize("column", range(6))
    def test_error_feedback_is_the_cheapest_change_of_the_later_columns(self, column):
        statistics = self.statistics()
        matrix, u = self.damped(statistics), factor_of(statistics)
        later = slice(column + 1, None)
        best = -np.linalg.solve(matrix[later, later], matrix[later, column]) * -0.3
        np.testing.assert_allclose(-0.3 / u[column, column] * u[column, later], best, rtol=1e-8, atol=1e-12)

    def test_the_factor_is_upper_triangular_and_its_square_is_the_inverse(self):
        statistics = self.statistics()
        u = factor_of(statistics, damping=0.1)
        assert not np.tril(u, -1).any()
        np.testing.assert_allclose(u.T @ u, np.linalg.inv(self.damped(statistics, 0.1)))

    def test_the_factor_of_a_row_is_that_of_its_block_mixed_with_the_input_factor(self):
        random = np.random.default_rng(0)
        blocks = [x.T @ x / np.trace(x.T @ x) for x in random.standard_normal((40, 9, 6))]
        row_blocks = np.stack(blocks).astype(np.float32)
        statistics = LayerStatistics(row_blocks.mean(0).astype(np.float64), np.ones(40), None, packed(row_blocks))
        factors = upper(statistics.row_inverse_cholesky(0.3))
        assert factors.shape == (40, 6, 6)
        for factor, block in zip(factors, row_blocks, strict=True):
            mixed = LayerStatistics(0.3 * block.astype(np.float64) + 0.7 * statistics.input_factor, np.ones(40))
            np.testing.assert_allclose(factor, factor_of(mixed), rtol=1e-4, atol=1e-4)

    def test_factors_can_replace_the_row_blocks_in_memory(self):
        blocks = np.repeat(self.statistics().input_factor[None], 40, 0).astype(np.float32)
        blocks += np.linspace(0, 0.1, 40, dtype=np.float32)[:, None, None] * np.eye(6, dtype=np.float32)
        input_factor, row_blocks = blocks.mean(0).astype(np.float64), packed(blocks)
        statistics = LayerStatistics(input_factor, np.ones(40), None, row_blocks)
        separate = statistics.row_inverse_cholesky(0.3)
        assert statistics.row_inverse_cholesky(0.3, out=row_blocks) is row_blocks
        np.testing.assert_array_equal(row_blocks, separate)

    @pytest.mark.parametrize("entries_together", [1, 3 * 6**2])
    def test_matrices_in_turn_and_in_threads_have_the_same_factors(self, monkeypatch, entries_together):
        blocks = np.stack([self.statistics(photos=10 + row).input_factor for row in range(20)])
        statistics = LayerStatistics(blocks.mean(0), np.ones(20), None, packed(blocks.astype(np.float32)))
        threads, factors = torch.get_num_threads(), statistics.row_inverse_cholesky(0.3)
        monkeypatch.setattr("compress.calibration.layer_statistics._ENTRIES_TOGETHER", entries_together)
        np.testing.assert_array_equal(statistics.row_inverse_cholesky(0.3), factors)
        assert torch.get_num_threads() == threads

    def test_an_error_in_a_thread_is_raised_and_torch_keeps_its_threads(self):
        def fail(group, hessian):
            raise ValueError(group)

        threads = torch.get_num_threads()
        with pytest.raises(ValueError, match="0"):
            self.statistics().for_each_row_hessian(fail, 0, 0.1)
        assert torch.get_num_threads() == threads

    def test_without_row_blocks_there_is_one_factor(self):
        statistics = self.statistics()
        factors = upper(statistics.row_inverse_cholesky(0.3))
        assert factors.shape == (1, 6, 6)
        np.testing.assert_allclose(factors[0], factor_of(statistics), rtol=1e-6)


def test_a_group_takes_the_mean_damping_of_its_rows():
    blocks = np.repeat(np.eye(3, dtype=np.float32)[None] / 3, 2, 0)
    statistics = LayerStatistics(np.eye(3) / 3, np.ones(5), row_blocks=packed(blocks))
    factors = upper(statistics.row_inverse_cholesky(0.5, np.array([0.1, 0.2, 0.3, 1.0, 3.0])))
    # Rows 0 to 2 belong to group 0; the diagonal of the input factor is 1/3.
    for factor, damping in zip(factors, (0.2, 2.0), strict=True):
        np.testing.assert_allclose(factor, np.eye(3) / np.sqrt((1 + damping) / 3), rtol=1e-6)


def test_the_row_correlation_is_mixed_with_the_identity():
    correlation = np.array([[1, -0.6, 0.2], [-0.6, 1, 0.4], [0.2, 0.4, 1]], np.float32)
    factor = LayerStatistics(np.eye(2), np.ones(3), row_correlation=correlation).correlation_inverse_cholesky(0.5)
    mixed = [[1, -0.3, 0.1], [-0.3, 1, 0.2], [0.1, 0.2, 1]]
    np.testing.assert_allclose(np.linalg.inv(factor.T @ factor), mixed, atol=1e-6)
    assert np.array_equal(factor, np.triu(factor))
    assert LayerStatistics(np.eye(2), np.ones(3)).correlation_inverse_cholesky(0.5) is None


def test_the_fisher_information_of_a_weight_is_its_rows_times_the_diagonal_of_the_input_factor():
    statistics = LayerStatistics(np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([5.0, 7.0, 0.5]))
    assert statistics.weight_fisher().tolist() == [[10, 15], [14, 21], [1, 1.5]]


def test_equal_rows_keep_the_mean_and_the_input_factor():
    statistics = LayerStatistics(np.eye(2), np.array([1.0, 5.0]))
    assert statistics.with_equal_rows().row_fisher.tolist() == [3, 3]
    assert np.array_equal(statistics.with_equal_rows().input_factor, np.eye(2))
