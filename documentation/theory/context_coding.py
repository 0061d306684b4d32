"""Decoded neighbors tell the coder which levels to expect.

Source: Rissanen & Langdon 1981, "Universal modeling and coding"; Mahoney 2005, "Adaptive weighing of context models for
lossless data compression".
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from documentation.theory.quantizers import entropy_bits, rate_distortion_levels

_LAYER = "features.12.squeeze.weight"
_GROUPS = 3


def draw(weights: Mapping[str, NDArray[np.float64]]) -> Figure:
    """Draw the magnitudes of a layer's levels, and their distribution given the magnitudes of the neighbors."""
    matrix = weights[_LAYER]
    levels = rate_distortion_levels(matrix.ravel(), 0.8 * matrix.std()).reshape(matrix.shape)
    figure = Figure()
    picture, histogram = figure.subplots(1, 2, width_ratios=(1.2, 1))
    image = picture.imshow(abs(levels[:, :128]), vmax=4, aspect="auto")
    picture.set(title=f"|level|, {_LAYER.removesuffix('.weight')}", xlabel="input channel", ylabel="output channel")
    picture.grid(visible=False)
    figure.colorbar(image, ax=picture)

    context = _context(abs(levels))
    groups = np.digitize(context, np.quantile(context, np.arange(1, _GROUPS) / _GROUPS))
    shares = [np.bincount(np.minimum(abs(levels[groups == group]), 5), minlength=6) for group in range(_GROUPS)]
    for group, (share, name) in enumerate(zip(shares, ("small", "medium", "large"), strict=True)):
        histogram.plot(share / share.sum(), ".-", color=f"C{group}", label=f"{name} neighbors")
    conditional = sum(entropy_bits(levels[groups == group]) * np.mean(groups == group) for group in range(_GROUPS))
    histogram.set(
        title=f"{entropy_bits(levels):.2f} bits alone, {conditional:.2f} given the neighbors",
        xlabel="|level| (5: or more)", ylabel="frequency",
    )  # fmt: skip
    histogram.legend()
    return figure


def _context(magnitudes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean magnitude of the levels decoded before: above in the column, and to the left in the row."""
    above = np.cumsum(magnitudes, 0) - magnitudes
    left = np.cumsum(magnitudes, 1) - magnitudes
    row, column = np.ogrid[: magnitudes.shape[0], : magnitudes.shape[1]]
    return above / np.maximum(row, 1) + left / np.maximum(column, 1)
