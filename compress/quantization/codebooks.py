"""Codebooks and plain values at the precision of the file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.errors import PassError
from compress.quantization.kmeans import Init, kmeans_centroids
from compress.tensors.forms import Dense, FloatName, Shared, check_finite

Floats = NDArray[np.float64]

FEEDBACK_MARGIN = 16
"""Steps by which levels and entries exceed the largest weight. Error feedback moves a weight by a few steps."""

_MIN_FLOAT16_MAXIMUM = 2.0**-18
"""Smallest maximum of values in float16, whose step is 2 ** -24: their error is at most 1% of it."""


@dataclass(frozen=True)
class CodebookOptions:
    """How the codebook of a layer is made.

    Attributes:
        max_entries: including zero.
        init: of k-means.
        kmeans_iterations: maximum iterations of k-means.
        iterations: how often entries are assigned by rate and distortion, and refitted.
        stored_as: precision of the entries in the file.
    """

    max_entries: int
    init: Init
    kmeans_iterations: int
    iterations: int
    stored_as: FloatName

    @property
    def entry_bits(self) -> int:
        """Bits of an entry in the codebook."""
        return 8 * np.dtype(self.stored_as).itemsize

    def is_scarce(self, points: Floats) -> bool:
        """Return whether points, weights divided by their optimal steps, need more entries than the codebook has."""
        low, high = _ends(points)
        return high - low >= self.max_entries

    def first_entries(self, points: Floats, cost: Floats, seed: int) -> list[Floats]:
        """Return the entries to begin with, ascending, 0 among them; where entries are scarce, two ways to choose them.

        With the `init` `linear`, entries are one optimal step apart, and reach beyond the points, since error feedback
        moves weights. Scarce entries come from k-means, or are evenly spaced over the range of the points. With another
        `init`, entries come from k-means.

        Args:
            points: shape (n,), weights divided by their scales, so that the optimal step is 1.
            cost: shape (n,), of a squared error of 1 in each point.
            seed: of `k-means++`.
        """
        if points.size == 0:
            return [np.zeros(1)]
        low, high = _ends(points)
        if self.init == "linear" and not self.is_scarce(points):
            margin = min(FEEDBACK_MARGIN, (self.max_entries - 1 - (high - low)) // 2)
            return [np.arange(low - margin, high + margin + 1, dtype=np.float64)]
        clusters = max(min(self.max_entries - 1, high - low), 1)
        centroids = kmeans_centroids(points, cost, clusters, self.init, self.kmeans_iterations, seed)
        choices = [np.union1d(centroids, [0.0])]
        if self.init == "linear" and self.max_entries > 2:
            step = (high - low) / (self.max_entries - 2)
            choices.append(np.arange(math.floor(low / step), math.ceil(high / step) + 1) * step)
        return choices


def _ends(points: Floats) -> tuple[int, int]:
    """Return the multiples of the step that enclose the points and 0."""
    return math.floor(points.min(initial=0)), math.ceil(points.max(initial=0))


def refit_entries(entries: Floats, indices: NDArray[np.integer[Any]], approximated: Floats, cost: Floats) -> Floats:
    """Return the entries, each but 0 moved to the mean of the values that it stands for, weighted by cost.

    Args:
        entries: shape (entries,).
        indices: shape (n,), entry of each unpruned weight.
        approximated: shape (n,), the values.
        cost: shape (n,). Entries without any cost stay.
    """
    total = np.bincount(indices, cost, len(entries))
    weighted = np.bincount(indices, cost * approximated, len(entries))
    return np.divide(weighted, total, out=entries.copy(), where=(total > 0) & (entries != 0))


def merge_rounded(
    entries: Floats, counts: NDArray[np.int64], stored_as: FloatName, tensor: str
) -> tuple[Floats, NDArray[np.int64]]:
    """Return rounded entries, equal ones merged and their counts, shape (classes, entries), summed.

    Raises:
        PassError: an entry is too large for the precision.
    """
    rounded, index = np.unique(_round(entries, stored_as, tensor), return_inverse=True)
    first = np.searchsorted(index, np.arange(len(rounded)))  # entries ascend
    return rounded.astype(np.float64), np.add.reduceat(counts, first, axis=1)


def zero_first(entries: Floats, indices: NDArray[np.integer[Any]]) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    """Return a codebook that begins with its entry 0, the others ascending, and the new indices."""
    order = np.argsort(entries != 0, kind="stable")
    return (entries[order] + 0.0).astype(np.float32), np.argsort(order)[indices].astype(np.uint16)


def share_nearest(
    values: NDArray[np.float32], mask: NDArray[np.bool_], centroids: Floats, stored_as: FloatName, tensor: str
) -> Shared:
    """Return weights that take the nearest of the rounded centroids; ties go to the upper one.

    Args:
        values: the weights, of any shape.
        mask: the same shape; False takes the entry 0, which other weights take only if a centroid is 0 too.
        centroids: ascending.
        stored_as: precision of the codebook; float32 where all centroids are too small for float16.
        tensor: name of the weights.
    Raises:
        PassError: a centroid is too large for the precision.
    """
    stored_as = _precise_enough(centroids, stored_as)
    rounded = np.unique(_round(centroids, stored_as, tensor)).astype(np.float64)
    entries = np.union1d(rounded, [0.0])
    indices = np.full(values.shape, np.searchsorted(entries, 0.0))
    nearest = np.searchsorted((rounded[1:] + rounded[:-1]) / 2, values[mask], side="right")
    indices[mask] = np.searchsorted(entries, rounded)[nearest]
    return Shared(*zero_first(entries, indices), stored_as)


def round_to_precision(values: NDArray[np.float32], stored_as: FloatName, tensor: str) -> Dense:
    """Return plain values at the precision of the file; float32 where all are too small for float16.

    Raises:
        PassError: a value is too large for the precision, or not finite.
    """
    check_finite(values, tensor)
    stored_as = _precise_enough(values, stored_as)
    return Dense(_round(values, stored_as, tensor), stored_as)


def _precise_enough(values: NDArray[np.floating[Any]], stored_as: FloatName) -> FloatName:
    """Return a precision; instead of float16, float32 where all values are so small that float16 loses most bits."""
    return "float32" if 0 < np.abs(values).max(initial=0) < _MIN_FLOAT16_MAXIMUM else stored_as


def _round(values: NDArray[np.floating[Any]], stored_as: FloatName, tensor: str) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        rounded = values.astype(stored_as).astype(np.float32)
    if not np.isfinite(rounded).all():
        raise PassError(f"{np.abs(values).max():g} is too large for {stored_as}; take float32", tensor=tensor)
    return rounded
