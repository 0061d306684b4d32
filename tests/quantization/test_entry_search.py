"""The search for codebook entries."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from compress.calibration.layer_statistics import LayerStatistics
from compress.calibration.packed_triangular import upper
from compress.quantization.assignment import LayerArrays, assign_entries
from compress.quantization.layer_quantizer import LayerQuantizer

ENTRIES = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])


def correlated_layer(rows, columns, *, row_correlation=None, seed=0):
    """Return a layer whose columns are strongly correlated, as quantizer and as arrays; its scales differ."""
    random = np.random.default_rng(seed)
    roots = random.standard_normal((columns, columns)) + 2.0
    factor = roots.T @ roots
    statistics = LayerStatistics(factor / np.trace(factor), random.random(rows) + 0.1, row_correlation=row_correlation)
    values = random.standard_normal((rows, columns)).astype(np.float32)
    correlation = None if row_correlation is None else statistics.correlation_inverse_cholesky(0.9)
    layer = LayerQuantizer(
        "a", values, random.random((rows, columns)) < 0.7, statistics.row_fisher,
        statistics.row_inverse_cholesky(0.0, 0.01), correlation,
    )  # fmt: skip
    scale = random.uniform(0.4, 0.8, (rows, columns))
    return layer, LayerArrays(values.astype(np.float64), layer.mask, scale, *_statistics(layer))


def _statistics(layer):
    return layer.row_fisher, layer.inverse_cholesky, layer.correlation_factor


def cost(layer, arrays, rate_cost, class_of_column, indices):
    stored = (ENTRIES[indices] * arrays.scale).astype(np.float32)
    return layer.predicted_divergence(stored) + rate_cost[class_of_column, indices].sum()


@pytest.fixture
def rate_cost():
    return np.array([[0.004, 0.002, 0.001, 0.002, 0.004], [0.001, 0.001, 0.003, 0.002, 0.001]])


@pytest.mark.parametrize("correlation", [None, np.array([[1, -0.6], [-0.6, 1]], np.float32)])
def test_one_survivor_takes_the_cheapest_entry_and_feeds_its_error_to_later_columns(rate_cost, correlation):
    _, arrays = correlated_layer(2, 6, row_correlation=correlation)
    classes = np.array([0, 1, 1, 0, 0, 1])
    indices, _, _ = assign_entries(arrays, rate_cost, classes, ENTRIES, max_survivors=1)
    factor, remaining = upper(arrays.inverse_cholesky[0]), arrays.target.copy()
    rows = np.eye(2) if correlation is None else arrays.correlation_factor
    for column in range(6):
        whitened = np.zeros(2)  # errors of this column in square roots of nats
        for row in range(2):
            step = arrays.scale[row, column]
            unit = np.sqrt(0.5 * arrays.row_fisher[row]) * step / factor[column, column]
            target = remaining[row, column] / step - whitened @ rows[:, row] / unit
            costs = ((target - ENTRIES) * unit / rows[row, row]) ** 2 + rate_cost[classes[column]]
            best = int(np.argmin(costs)) if arrays.mask[row, column] else 2
            assert indices[row, column] == best
            whitened[row] = (target - ENTRIES[best]) * unit / rows[row, row]
            error = remaining[row, column] - ENTRIES[best] * step
            remaining[row, column:] -= error * factor[column, column:] / factor[column, column]


def test_enough_survivors_find_the_path_of_lowest_cost():
    layer, arrays = correlated_layer(1, 7)
    entries, rate_cost = np.array([0.0, 1.5]), np.array([[0.002, 0.003]])
    indices, _, _ = assign_entries(arrays, rate_cost, np.zeros(7, np.int64), entries, max_survivors=2**7)

    def total(path):
        stored = (entries[path] * arrays.scale).astype(np.float32)
        return layer.predicted_divergence(stored) + rate_cost[0, path].sum()

    paths = [np.array(path)[None] for path in product(*([0, 1] if kept else [0] for kept in arrays.mask[0]))]
    assert total(indices) == pytest.approx(min(map(total, paths)), rel=1e-5)


@pytest.mark.parametrize("correlation", [None, np.eye(20, dtype=np.float32) * 0.5 + 0.5])
def test_survivors_lower_the_cost_of_errors_and_bits(rate_cost, correlation):
    layer, arrays = correlated_layer(20, 40, row_correlation=correlation)
    classes = np.arange(40) % 2
    costs = [
        cost(layer, arrays, rate_cost / 100, classes, assign_entries(arrays, rate_cost / 100, classes, ENTRIES, n)[0])
        for n in (1, 8)
    ]
    assert costs[1] < 0.9 * costs[0]


def test_errors_of_the_approximated_values_cost_the_predicted_divergence(rate_cost):
    layer, arrays = correlated_layer(5, 8, row_correlation=np.eye(5, dtype=np.float32) * 0.4 + 0.6)
    indices, approximated, counts = assign_entries(arrays, rate_cost, np.arange(8) % 2, ENTRIES)
    unit = np.sqrt(0.5 * arrays.row_fisher)[:, None] * arrays.scale / np.diag(upper(arrays.inverse_cholesky[0]))
    errors = (approximated - ENTRIES[indices]) * unit / np.diag(arrays.correlation_factor)[:, None]
    stored = (ENTRIES[indices] * arrays.scale).astype(np.float32)
    assert np.square(errors).sum() == pytest.approx(layer.predicted_divergence(stored), rel=1e-4)
    assert (indices[~arrays.mask] == 2).all()
    for column_class in range(2):
        assert counts[column_class].tolist() == np.bincount(indices[:, column_class::2].ravel(), minlength=5).tolist()


def test_a_row_without_fisher_information_takes_the_entry_of_fewest_bits(rate_cost):
    _, arrays = correlated_layer(2, 4)
    arrays = arrays._replace(row_fisher=np.array([0.0, 1.0]), mask=np.ones((2, 4), np.bool_))
    indices, approximated, _ = assign_entries(arrays, rate_cost, np.zeros(4, np.int64), ENTRIES)
    assert (indices[0] == 2).all()
    assert np.isfinite(approximated).all()
