"""Which levels are chosen down a column, and what they make up for."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from compress.codecs.trellis import NEXT, QUANTIZER, trellis_indices
from compress.passes.trellis import choose_path


def test_no_other_path_of_a_short_column_costs_less():
    random = np.random.default_rng(0)
    column, price = 3 * random.standard_normal((5, 1)), random.random((2, 13))
    chosen, _ = choose_path(
        column, np.ones((5, 1), bool), np.ones((5, 1)), np.ones(5), np.ones((1, 1, 1), np.float32), price
    )

    def cost(levels):
        total, state = 0.0, 0
        for level, value in zip(levels, column[:, 0], strict=True):
            quantizer = QUANTIZER[state]
            index = (level + quantizer * np.sign(level)) // 2
            total += 0.5 * (value - level) ** 2 + price[quantizer, index + 6]
            state = NEXT[state, index & 1]
        return total

    paths = itertools.product(range(-6, 7), repeat=5)
    allowed = (path for path in paths if trellis_indices(np.array(path, np.int32)[:, None]) is not None)
    assert cost(chosen[:, 0]) == pytest.approx(min(cost(path) for path in allowed))


class TestCoupling:
    """Errors that the rows below make up for."""

    def chosen(self, coupling, random):
        target, cost = 3 * random.standard_normal((12, 8)), random.uniform(0.5, 2, 12)
        roots = random.standard_normal((8, 20))
        factors = np.linalg.cholesky(np.linalg.inv(roots @ roots.T / 20)).T[None].astype(np.float32)
        price = 0.1 * np.abs(np.arange(-20, 21)) * np.ones((2, 1))
        levels, _ = choose_path(
            target, np.ones(target.shape, bool), np.ones(target.shape), cost, factors, price, coupling
        )
        return levels, target, cost, factors[0], price

    def test_rows_that_are_independent_are_chosen_as_without(self):
        alone, *_ = self.chosen(None, np.random.default_rng(0))
        together, *_ = self.chosen(np.eye(12), np.random.default_rng(0))
        np.testing.assert_array_equal(alone, together)

    def test_errors_and_bits_cost_less_where_rows_go_together(self):
        def total(seed, coupled):
            random = np.random.default_rng(seed)
            roots = random.standard_normal((12, 4))
            correlation = 0.3 * np.eye(12) + roots @ roots.T
            correlation /= np.sqrt(np.outer(np.diag(correlation), np.diag(correlation)))
            coupling = np.linalg.cholesky(np.linalg.inv(correlation)).T
            levels, target, cost, factor, price = self.chosen(coupling if coupled else None, random)
            error = np.sqrt(cost)[:, None] * np.linalg.solve(factor.T, (target - levels).T).T
            bits = sum(price[0, 20 + index] for index in trellis_indices(levels).ravel())
            return 0.5 * np.einsum("ij,ik,kj->", error, correlation, error) + bits

        assert np.mean([total(seed, True) / total(seed, False) for seed in range(10)]) < 0.8

    def test_a_layer_that_costs_nothing_is_chosen_all_the_same(self):
        target = np.ones((3, 2))
        coupling = np.linalg.cholesky(np.linalg.inv(0.5 * np.eye(3) + 0.5)).T
        given = np.ones((3, 2), bool), np.ones((3, 2)), np.zeros(3), np.eye(2, dtype=np.float32)[None], np.ones((2, 9))
        levels, counts = choose_path(target, *given, coupling)
        assert np.isfinite(levels).all()
        assert counts.sum() == 6
