"""One-dimensional k-means."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

Floats = NDArray[np.float64]
Init = Literal["linear", "density", "k-means++"]


def kmeans_centroids(
    points: Floats, importance: Floats, clusters: int, init: Init, max_iterations: int, seed: int
) -> Floats:
    """Return at most `clusters` centroids of points; the distinct points themselves if they are no more.

    Args:
        points: shape (n,).
        importance: shape (n,), weight of each point's squared error; all 0 counts as all equal.
        clusters: number of clusters.
        init: `linear`: centroids evenly spaced between the smallest and the largest point; `density`: between the
            sorted points; `k-means++`: random points.
        max_iterations: at which k-means stops.
        seed: of the random numbers.
    """
    distinct = np.unique(points)
    if len(distinct) <= clusters:
        return distinct
    starts: str | Floats = "k-means++"
    if init == "linear":
        starts = np.linspace(distinct[0], distinct[-1], clusters)[:, None]
    elif init == "density":
        starts = np.unique(np.quantile(points, (np.arange(clusters) + 0.5) / clusters))[:, None]
    count = clusters if isinstance(starts, str) else len(starts)
    kmeans = KMeans(count, init=starts, n_init=1, max_iter=max_iterations, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # raised for empty clusters: the codebook is smaller then
        kmeans.fit(points[:, None], sample_weight=importance / importance.mean() if importance.any() else None)
    return np.asarray(kmeans.cluster_centers_[:, 0], dtype=np.float64)
