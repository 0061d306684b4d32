"""One-dimensional k-means."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Init = Literal["linear", "density", "k-means++"]


def kmeans_centroids(
    points: Floats, importance: Floats, clusters: int, init: Init, max_iterations: int, seed: int
) -> Floats:
    """Return at most `clusters` centroids of points, ascending; the distinct points themselves if they are no more.

    Lloyd's iterations on sorted points: a cluster is an interval. Points of importance 0 do not count. An
    empty cluster begins anew at the point farthest from its centroid.

    Args:
        points: shape (n,).
        importance: shape (n,), weight of each point's squared error; all 0 counts as all equal.
        clusters: number of clusters.
        init: `linear`: centroids evenly spaced between the smallest and the largest point; `density`: between the
            sorted points; `k-means++`: random points.
        max_iterations: at which k-means stops.
        seed: of the random numbers.
    Source: Lloyd 1982, "Least squares quantization in PCM"; initial centroids of Han et al. 2016, arXiv:1510.00149,
    section 3.2, and of Arthur & Vassilvitskii 2007, "k-means++".
    """
    if not importance.any():
        importance = np.ones(len(points))
    order = np.argsort(points, kind="stable")
    order = order[importance[order] > 0]
    points, importance = points[order], importance[order]
    if len(distinct := np.unique(points)) <= clusters:
        return distinct
    centroids = _first_centroids(points, importance, clusters, init, seed)
    for _ in range(max_iterations):
        ends = np.searchsorted(points, (centroids[1:] + centroids[:-1]) / 2)
        sizes = np.diff(ends, prepend=0, append=len(points))
        starts = (np.cumsum(sizes) - sizes)[sizes > 0]
        means = np.add.reduceat(importance * points, starts) / np.add.reduceat(importance, starts)
        if empty := len(centroids) - len(means):
            errors = importance * np.square(points - np.repeat(means, sizes[sizes > 0]))
            farthest = np.argpartition(-errors, empty)[:empty]
            means = np.union1d(means, points[farthest])
        if np.array_equal(means, centroids):
            break
        centroids = means
    return centroids


def _first_centroids(points: Floats, importance: Floats, clusters: int, init: Init, seed: int) -> Floats:
    if init == "linear":
        return np.linspace(points[0], points[-1], clusters)
    if init == "density":
        return np.unique(np.quantile(points, (np.arange(clusters) + 0.5) / clusters))
    from sklearn.cluster import kmeans_plusplus  # noqa: PLC0415  slow to import

    centers, _ = kmeans_plusplus(points[:, None], clusters, sample_weight=importance, random_state=seed)
    return np.unique(centers)
