from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans

from compress.quantization.kmeans import kmeans_centroids


def squared_error(points, importance, centroids):
    return float((importance * np.square(points[:, None] - centroids).min(1)).sum())


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("init", ["linear", "density"])
def test_the_error_is_no_larger_than_scikit_learns_from_the_same_start(init, weighted):
    """On heavy tails, where evenly spaced centroids begin with empty clusters."""
    random = np.random.default_rng(0)
    points = random.standard_t(4, 5000)
    importance = random.lognormal(0, 1, 5000) if weighted else np.ones(5000)
    starts = {
        "linear": np.linspace(points.min(), points.max(), 15),
        "density": np.quantile(points, (np.arange(15) + 0.5) / 15),
    }
    theirs = KMeans(15, init=starts[init][:, None], n_init=1, max_iter=500).fit(points[:, None], None, importance)
    centroids = kmeans_centroids(points, importance, 15, init, 500, 0)
    assert len(centroids) == 15
    expected = squared_error(points, importance, theirs.cluster_centers_[:, 0])
    assert squared_error(points, importance, centroids) <= 1.001 * expected


def test_centroids_are_the_means_of_their_clusters():
    points = np.random.default_rng(0).standard_normal(2000)
    centroids = kmeans_centroids(points, np.ones(2000), 8, "k-means++", 1000, 0)
    nearest = np.abs(points[:, None] - centroids).argmin(1)
    means = [points[nearest == cluster].mean() for cluster in range(8)]
    np.testing.assert_allclose(centroids, means, rtol=0, atol=1e-12)


def test_few_distinct_points_are_their_own_centroids():
    points = np.array([3.0, -1.0, 3.0, 0.5])
    assert kmeans_centroids(points, np.ones(4), 5, "linear", 10, 0).tolist() == [-1.0, 0.5, 3.0]
