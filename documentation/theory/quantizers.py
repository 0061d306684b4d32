"""Uniform levels, their entropy, and the choice of levels by rate and distortion; shared by several figures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Levels = NDArray[np.int64]


def entropy_bits(levels: Levels) -> float:
    """Return the entropy of levels, bits per weight."""
    share = np.unique(levels, return_counts=True)[1] / levels.size
    return float(-(share * np.log2(share)).sum())


def nearest_levels(values: NDArray[np.float64], step: float) -> Levels:
    """Return the level of each value whose multiple of the step is nearest."""
    return np.rint(values / step).astype(np.int64)


def rate_distortion_levels(values: NDArray[np.float64], step: float, iterations: int = 8) -> Levels:
    """Return levels that minimize squared error plus lambda * bits, at the lambda that fits the step.

    Source: Sullivan 1996, "Efficient scalar quantization of exponential and Laplacian random variables".
    """
    levels = nearest_levels(values, step)
    lambda_ = 0.17 * step**2  # near the slope of the operational curve at this step
    alphabet = np.arange(levels.min(), levels.max() + 1)
    errors = (values[:, None] - alphabet * step) ** 2
    for _ in range(iterations):
        counts = np.array([(levels == level).sum() for level in alphabet])
        bits = -np.log2(np.maximum(counts, 0.5) / levels.size)
        levels = alphabet[(errors + lambda_ * bits).argmin(1)]
    return levels
