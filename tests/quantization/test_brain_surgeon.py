"""The optimal brain surgeon update of pruned rows."""

from __future__ import annotations

import numpy as np
import pytest

from compress.calibration.layer_statistics import LayerStatistics
from compress.calibration.packed_triangular import packed
from compress.quantization.brain_surgeon import obs_update
from compress.quantization.regularization import row_weight_and_damping

SAMPLES = 5000


def random_statistics(rows: int, columns: int, groups: int) -> LayerStatistics:
    random = np.random.default_rng(0)
    roots = random.standard_normal((groups, columns + 3, columns))
    blocks = roots.transpose(0, 2, 1) @ roots
    blocks /= np.trace(blocks, axis1=1, axis2=2)[:, None, None]
    return LayerStatistics(blocks.mean(0), np.ones(rows), row_blocks=packed(blocks).astype(np.float32))


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("is_classifier", [False, True])
def test_no_other_remaining_weights_cost_less(groups, is_classifier):
    random = np.random.default_rng(1)
    weights, mask = random.standard_normal((7, 2, 3)).astype(np.float32), random.random((7, 2, 3)) < 0.5
    statistics = random_statistics(7, 6, groups)
    best = obs_update(weights, mask, statistics, SAMPLES, is_classifier=is_classifier)
    assert not best[~mask].any()
    row_weight, damping = row_weight_and_damping(statistics, SAMPLES, is_classifier=is_classifier)
    hessians = {}
    statistics.for_each_row_hessian(hessians.__setitem__, row_weight, damping)
    hessian = np.stack([hessians[group] for group in statistics.group_of_row(row_weight)])

    def cost(values):
        error = (weights - values).reshape(7, 6).astype(np.float64)
        return np.einsum("ij,ijk,ik->i", error, hessian, error)

    for _ in range(50):
        other = best + 0.01 * np.where(mask, random.standard_normal(mask.shape), 0)
        assert (cost(other) >= cost(best) - 1e-9).all()


@pytest.mark.parametrize("mask", [True, False])
def test_a_row_pruned_fully_or_not_at_all_needs_no_update(mask):
    weights = np.arange(1, 7, dtype=np.float32).reshape(2, 3)
    statistics = LayerStatistics(np.eye(3) / 3, np.ones(2))
    updated = obs_update(weights, np.full((2, 3), mask), statistics, SAMPLES, is_classifier=False)
    np.testing.assert_allclose(updated, weights if mask else np.zeros((2, 3)), rtol=1e-6)


def test_a_layer_without_input_keeps_its_weights():
    weights, mask = np.ones((2, 3), np.float32), np.array([[True, False, True]] * 2)
    statistics = LayerStatistics(np.zeros((3, 3)), np.zeros(2))
    updated = obs_update(weights, mask, statistics, SAMPLES, is_classifier=False)
    np.testing.assert_allclose(updated, np.where(mask, weights, 0))
