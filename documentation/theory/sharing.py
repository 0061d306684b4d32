"""Values that the weights of a layer share.

Source: Han et al. 2016, arXiv:1510.00149, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from compress.quantization.kmeans import kmeans_centroids

_LAYER = "features.4.squeeze.weight"
_CLUSTERS = 16


def draw(weights: Mapping[str, NDArray[np.float64]]) -> Figure:
    """Draw the histogram of a layer twice: with evenly spaced values, and with those of k-means."""
    values = weights[_LAYER].ravel()
    even = np.linspace(values.min(), values.max(), _CLUSTERS)
    centroids = kmeans_centroids(values, np.ones(len(values)), _CLUSTERS, "linear", 300, seed=0)
    figure = Figure()
    for axes, codebook, name in zip(
        figure.subplots(1, 2, sharey=True), (even, centroids), ("Evenly spaced", "k-means"), strict=True
    ):
        _draw_codebook(axes, values, codebook, name)
    return figure


def _draw_codebook(axes: Axes, values: NDArray[np.float64], codebook: NDArray[np.float64], name: str) -> None:
    nearest = codebook[abs(values[:, None] - codebook).argmin(1)]
    error = np.sqrt(np.mean((values - nearest) ** 2))
    axes.hist(values, bins=100, alpha=0.6)
    for value in codebook:
        axes.axvline(value, color="C1", linewidth=1)
    axes.set(title=f"{name}: root mean square error {error:.4f}", xlabel="weight", ylabel="number")
