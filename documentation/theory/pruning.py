"""Which weights pruning removes, and what remains.

Source: LeCun et al. 1990, "Optimal brain damage"; Han et al. 2015, arXiv:1506.02626.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

_LAYER = "features.12.expand3x3.weight"
_SPARSITY = 0.45


def draw(weights: Mapping[str, NDArray[np.float64]]) -> Figure:
    """Draw the histogram of a layer with its pruned range, and the energy that pruning removes."""
    values = weights[_LAYER].ravel()
    threshold = np.quantile(abs(values), _SPARSITY)
    figure = Figure()
    histogram, curve = figure.subplots(1, 2)
    histogram.hist(values, bins=120, range=(-0.15, 0.15))
    histogram.axvspan(-threshold, threshold, color="C1", alpha=0.25)
    histogram.set(
        title=f"Weights of {_LAYER.removesuffix('.weight')}",
        xlabel=f"weight; shaded: pruned, {_SPARSITY:.0%}",
        ylabel="number",
    )

    sparsity = np.linspace(0, 1, 101)
    energy = np.sort(values**2).cumsum() / (values**2).sum()
    curve.plot(sparsity, np.interp(sparsity * len(energy), np.arange(1, len(energy) + 1), energy, left=0),
               label="smallest first")  # fmt: skip
    curve.plot(sparsity, sparsity, "--", label="in random order")
    curve.axvline(_SPARSITY, color="C1", alpha=0.4)
    curve.set(
        title="Energy that pruning removes",
        xlabel="fraction of pruned weights",
        ylabel="fraction of the sum of squares",
    )
    curve.legend()
    return figure
