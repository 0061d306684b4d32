"""Viterbi search: the assigned levels and their error feedback."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from compress.calibration.packed_triangular import packed
from compress.codecs.primitives.trellis import (
    NO_TRELLIS,
    TRELLIS_256,
    TRELLIS_4096,
    index_of,
    level_of,
    shift_register_trellis,
    trellis_indices,
)
from compress.quantization.assignment import LayerArrays, assign_levels

SMALL_TRELLIS = shift_register_trellis(32, 0b01001, 0b11110)
every_trellis = pytest.mark.parametrize("trellis", [NO_TRELLIS, SMALL_TRELLIS, TRELLIS_256, TRELLIS_4096])


@every_trellis
def test_no_other_path_of_a_short_column_costs_less(trellis):
    random = np.random.default_rng(0)
    column, rate_cost = 3 * random.standard_normal((5, 1)), random.random((1, 2, 13))
    ones = np.ones((5, 1))
    layer = LayerArrays(column, ones > 0, ones, np.ones(5), np.ones((1, 1), np.float32))
    levels, _ = assign_levels(layer, rate_cost, trellis)

    def cost(path):
        total, state = 0.0, 0
        for level, value in zip(path, column[:, 0], strict=True):
            quantizer = trellis.quantizer[state]
            index = index_of(level)
            total += 0.5 * (value - level) ** 2 + rate_cost[0, quantizer, index + 6]
            state = trellis.next_state[state, index & 1]
        return total

    paths = itertools.product(range(-6, 7), repeat=5)
    allowed = (path for path in paths if trellis_indices(np.array(path, np.int32)[:, None], trellis) is not None)
    assert cost(levels[:, 0]) == pytest.approx(min(cost(path) for path in allowed))


@every_trellis
def test_levels_follow_the_trellis_within_the_limit_and_pruned_weights_are_zero(trellis):
    random = np.random.default_rng(0)
    values, mask = 3 * random.standard_normal((40, 6)), random.random((40, 6)) < 0.8
    factors, rate_cost = packed(np.eye(6, dtype=np.float32)[None]), np.zeros((1, 2, 9))
    levels, _ = assign_levels(
        LayerArrays(values, mask, np.ones(values.shape), np.ones(40), factors), rate_cost, trellis
    )
    assert trellis_indices(levels, trellis) is not None
    assert not levels[~mask].any()
    assert np.abs(levels).max() <= 8


class TestRowCorrelation:
    """Rows below compensate for errors."""

    def assign(self, correlation_factor, random):
        target, cost = 3 * random.standard_normal((12, 8)), random.uniform(0.5, 2, 12)
        roots = random.standard_normal((8, 20))
        factor = np.linalg.cholesky(np.linalg.inv(roots @ roots.T / 20)).T.astype(np.float32)
        rate_cost = 0.1 * np.abs(np.arange(-20, 21)) * np.ones((2, 1))
        ones = np.ones((12, 8))
        layer = LayerArrays(target, ones > 0, ones, cost, packed(factor[None]), correlation_factor)
        levels, _ = assign_levels(layer, rate_cost[None])
        return levels, target, cost, factor, rate_cost

    def test_the_identity_as_factor_changes_no_level(self):
        independent, *_ = self.assign(None, np.random.default_rng(0))
        correlated, *_ = self.assign(np.eye(12), np.random.default_rng(0))
        np.testing.assert_array_equal(independent, correlated)

    def test_feedback_between_correlated_rows_lowers_the_cost(self):
        def total(seed, with_feedback):
            random = np.random.default_rng(seed)
            roots = random.standard_normal((12, 4))
            correlation = 0.3 * np.eye(12) + roots @ roots.T
            correlation /= np.sqrt(np.outer(np.diag(correlation), np.diag(correlation)))
            row_factor = np.linalg.cholesky(np.linalg.inv(correlation)).T
            levels, target, cost, factor, rate_cost = self.assign(row_factor if with_feedback else None, random)
            error = np.sqrt(cost)[:, None] * np.linalg.solve(factor.T, (target - levels).T).T
            rate = sum(rate_cost[0, 20 + index] for index in trellis_indices(levels, TRELLIS_4096).ravel())
            return 0.5 * np.einsum("ij,ik,kj->", error, correlation, error) + rate

        assert np.mean([total(seed, True) / total(seed, False) for seed in range(10)]) < 0.8

    def test_a_layer_without_fisher_information_is_quantized(self):
        target = np.ones((3, 2))
        correlation_factor = np.linalg.cholesky(np.linalg.inv(0.5 * np.eye(3) + 0.5)).T
        factors, rate_cost = packed(np.eye(2, dtype=np.float32)[None]), np.ones((1, 2, 9))
        layer = LayerArrays(target, target > 0, np.ones((3, 2)), np.zeros(3), factors, correlation_factor)
        levels, counts = assign_levels(layer, rate_cost)
        assert np.isfinite(levels).all()
        assert counts.sum() == 6

    @pytest.mark.parametrize(
        ("trellis", "mask_density"),
        [*itertools.product([NO_TRELLIS, SMALL_TRELLIS, TRELLIS_256], [0.0, 0.5, 1.0]), (TRELLIS_4096, 0.5)],
    )
    def test_each_survivor_feeds_its_own_errors_to_the_rows_below(self, trellis, mask_density):
        rows = 53
        random = np.random.default_rng(0)
        column = 3 * random.standard_normal((rows, 1))
        rate_cost = 0.1 * np.abs(np.arange(-20, 21)) + np.array([[0.1], [0.2]])
        rate_cost[0, 20] = rate_cost[1, 20] = 0.05
        mask, scale = random.random((rows, 1)) < mask_density, np.full((rows, 1), 0.7)
        cost = random.uniform(0.5, 2, rows) * (np.arange(rows) != 20)
        roots = random.standard_normal((rows, 60))
        correlation_factor = np.linalg.cholesky(np.linalg.inv(roots @ roots.T / 60)).T
        factors = np.ones((1, 1), np.float32)
        layer = LayerArrays(column, mask, scale, cost, factors, correlation_factor)
        levels, counts = assign_levels(layer, rate_cost[None], trellis)
        expected = reference_levels(
            column[:, 0] / 0.7, 0.5 * cost * 0.7**2, mask[:, 0], rate_cost, correlation_factor, trellis
        )
        assert levels[:, 0].tolist() == expected
        assert counts.sum() == rows


def reference_levels(targets, error_costs, mask, rate_cost, correlation_factor, trellis):
    """Return the levels of the cheapest path; each survivor shifts the targets of all rows below."""
    max_index = rate_cost.shape[1] // 2
    survivors = {0: (0.0, [], np.zeros(len(targets)))}
    for row, target in enumerate(targets):
        diagonal, unit, reached = correlation_factor[row, row], np.sqrt(error_costs[row]), {}
        for state, (metric, levels, shift) in sorted(survivors.items()):
            quantizer = int(trellis.quantizer[state])
            shifted = target - (shift[row] / unit if unit > 0 else 0.0)
            for index in range(-max_index, max_index + 1) if mask[row] else [0]:
                error = shifted - level_of(index, quantizer)
                cost = metric + error_costs[row] / diagonal**2 * error**2 + rate_cost[quantizer, max_index + index]
                next_state = int(trellis.next_state[state, index & 1])
                if next_state not in reached or cost < reached[next_state][0]:
                    path = [*levels, level_of(index, quantizer)]
                    reached[next_state] = (cost, path, shift + error * unit / diagonal * correlation_factor[row])
        survivors = reached
    return min(survivors.values(), key=lambda survivor: survivor[0])[1]


@pytest.mark.parametrize(("states", "max_index"), [(2**15, 4), (256, 2**15)])
def test_more_states_or_indices_than_16_bits_hold_are_refused(states, max_index):
    one, rate_cost = np.ones((1, 1)), np.zeros((1, 2, 2 * max_index + 1))
    trellis = shift_register_trellis(states, 1, 1)
    with pytest.raises(ValueError, match="at most 16,384 states and indices up to 32,767"):
        assign_levels(LayerArrays(one, one > 0, one, np.ones(1), one.astype(np.float32)), rate_cost, trellis)
