"""Regularization of layer statistics."""

from __future__ import annotations

import numpy as np

from compress.calibration.layer_statistics import LayerStatistics
from compress.quantization.regularization import noise_to_signal


def test_damping_limits_the_noise_to_the_cost_of_zero_weights():
    values = np.full((2, 5), 0.1, np.float32)
    statistics = LayerStatistics(np.eye(5) / 5, np.array([1e-3, 1e-1]))
    cost_of_zero = statistics.row_fisher / 5 * 0.01 / 2  # of one weight
    noise = noise_to_signal(values, statistics, lambda_=2e-6)
    np.testing.assert_allclose(noise, 2e-6 / (2 * np.log(2)) / cost_of_zero, rtol=1e-6)
