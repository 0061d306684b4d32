"""Which levels are chosen down a column, and what they make up for."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from compress.calibration.packed_triangular import packed
from compress.codecs.primitives.trellis import (
    MIDDLE_TRELLIS,
    NO_TRELLIS,
    SMALL_TRELLIS,
    TRELLIS,
    level_of,
    trellis_indices,
)
from compress.quantization.trellis_search import choose_path, nearest_path

every_trellis = pytest.mark.parametrize("trellis", [NO_TRELLIS, SMALL_TRELLIS, MIDDLE_TRELLIS, TRELLIS])


@every_trellis
def test_no_other_path_of_a_short_column_costs_less(trellis):
    random = np.random.default_rng(0)
    column, price = 3 * random.standard_normal((5, 1)), random.random((1, 2, 13))
    chosen, _ = choose_path(
        column, np.ones((5, 1), bool), np.ones((5, 1)), np.ones(5), np.ones((1, 1), np.float32), price, None, trellis
    )

    def cost(levels):
        total, state = 0.0, 0
        for level, value in zip(levels, column[:, 0], strict=True):
            quantizer = trellis.quantizer[state]
            index = (level + quantizer * np.sign(level)) // 2
            total += 0.5 * (value - level) ** 2 + price[0, quantizer, index + 6]
            state = trellis.following[state, index & 1]
        return total

    paths = itertools.product(range(-6, 7), repeat=5)
    allowed = (path for path in paths if trellis_indices(np.array(path, np.int32)[:, None], trellis) is not None)
    assert cost(chosen[:, 0]) == pytest.approx(min(cost(path) for path in allowed))


@every_trellis
def test_the_nearest_levels_follow_the_trellis_and_leave_out_what_is_pruned(trellis):
    random = np.random.default_rng(0)
    values, mask = 3 * random.standard_normal((40, 6)), random.random((40, 6)) < 0.8
    levels = nearest_path(values, mask, 8, trellis)
    assert trellis_indices(levels, trellis) is not None
    assert not levels[~mask].any()
    assert np.abs(levels).max() <= 8


@pytest.mark.parametrize("trellis", [SMALL_TRELLIS, MIDDLE_TRELLIS, TRELLIS])
@pytest.mark.parametrize("most", [4, 5])
def test_the_largest_level_may_be_taken_and_none_beyond_it(trellis, most):
    """Only the second quantizer has odd levels, and the first has one beyond at the same index."""
    values = 4 * np.random.default_rng(0).standard_normal((40, 6))
    levels = nearest_path(values, np.ones(values.shape, np.bool_), most, trellis)
    assert np.abs(levels).max() == most
    assert np.array_equal(
        nearest_path(levels.astype(np.float64), np.ones(values.shape, np.bool_), most, trellis), levels
    )


class TestCoupling:
    """Errors that the rows below make up for."""

    def chosen(self, coupling, random):
        target, cost = 3 * random.standard_normal((12, 8)), random.uniform(0.5, 2, 12)
        roots = random.standard_normal((8, 20))
        factor = np.linalg.cholesky(np.linalg.inv(roots @ roots.T / 20)).T.astype(np.float32)
        price = 0.1 * np.abs(np.arange(-20, 21)) * np.ones((2, 1))
        levels, _ = choose_path(
            target, np.ones((12, 8), bool), np.ones((12, 8)), cost, packed(factor[None]), price[None], coupling
        )
        return levels, target, cost, factor, price

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
            bits = sum(price[0, 20 + index] for index in trellis_indices(levels, TRELLIS).ravel())
            return 0.5 * np.einsum("ij,ik,kj->", error, correlation, error) + bits

        assert np.mean([total(seed, True) / total(seed, False) for seed in range(10)]) < 0.8

    def test_a_layer_that_costs_nothing_is_chosen_all_the_same(self):
        target = np.ones((3, 2))
        coupling = np.linalg.cholesky(np.linalg.inv(0.5 * np.eye(3) + 0.5)).T
        given = (
            np.ones((3, 2), bool),
            np.ones((3, 2)),
            np.zeros(3),
            packed(np.eye(2, dtype=np.float32)[None]),
            np.ones((1, 2, 9)),
        )
        levels, counts = choose_path(target, *given, coupling)
        assert np.isfinite(levels).all()
        assert counts.sum() == 6

    @pytest.mark.parametrize(
        ("trellis", "share_kept"),
        [*itertools.product([NO_TRELLIS, SMALL_TRELLIS, MIDDLE_TRELLIS], [0.0, 0.5, 1.0]), (TRELLIS, 0.5)],
    )
    def test_every_path_that_is_in_question_moves_the_rows_below_in_its_own_way(self, trellis, share_kept):
        rows = 53
        random = np.random.default_rng(0)
        column = 3 * random.standard_normal((rows, 1))
        price = 0.1 * np.abs(np.arange(-20, 21)) + np.array([[0.1], [0.2]])
        price[0, 20] = price[1, 20] = 0.05
        mask, scale = random.random((rows, 1)) < share_kept, np.full((rows, 1), 0.7)
        cost = random.uniform(0.5, 2, rows) * (np.arange(rows) != 20)
        roots = random.standard_normal((rows, 60))
        coupling = np.linalg.cholesky(np.linalg.inv(roots @ roots.T / 60)).T
        factors = np.ones((1, 1), np.float32)
        levels, counts = choose_path(column, mask, scale, cost, factors, price[None], coupling, trellis)
        expected = one_path_after_the_other(
            column[:, 0] / 0.7, 0.5 * cost * 0.7**2, mask[:, 0], price, coupling, trellis
        )
        assert levels[:, 0].tolist() == expected
        assert counts.sum() == rows


def one_path_after_the_other(values, weights, mask, price, coupling, trellis):
    """The best path's levels: by the plain algorithm, in which each path keeps what it wants of all rows below."""
    most = price.shape[1] // 2
    paths = {0: (0.0, [], np.zeros(len(values)))}
    for row, value in enumerate(values):
        own, unit, reached = coupling[row, row], np.sqrt(weights[row]), {}
        for state, (total, levels, moved) in sorted(paths.items()):
            quantizer = int(trellis.quantizer[state])
            wanted = value - (moved[row] / unit if unit > 0 else 0.0)
            for index in range(-most, most + 1) if mask[row] else [0]:
                off = wanted - level_of(index, quantizer)
                cost = total + weights[row] / own**2 * off**2 + price[quantizer, most + index]
                to = int(trellis.following[state, index & 1])
                if to not in reached or cost < reached[to][0]:
                    error = off * unit / own
                    reached[to] = (cost, [*levels, level_of(index, quantizer)], moved + error * coupling[row])
        paths = reached
    return min(paths.values(), key=lambda path: path[0])[1]
