"""TODO."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compress.errors import PassError
from compress.tensors.checks import finite
from compress.tensors.forms import Dense, FloatName


def as_codebook(centroids: NDArray[np.float64], stored_as: FloatName, tensor: str) -> NDArray[np.float32]:
    """Round centroids to their precision: float32, zero first, the others ascending and distinct.

    Raises:
        PassError: a centroid is too large for the precision.
    """
    with np.errstate(over="ignore"):
        rounded = np.unique(centroids.astype(stored_as).astype(np.float32))
    if not np.isfinite(rounded).all():
        raise PassError(f"a shared value is too large for {stored_as}; take float32", tensor=tensor)
    return np.concatenate([np.zeros(1, np.float32), rounded[rounded != 0]])


def nearest_entry(entries: NDArray[np.float32], points: NDArray[np.float64]) -> NDArray[np.uint16]:
    """Return the place of the entry nearest to each point; `entries` ascend. Of two as near, the upper."""
    between = (entries[1:].astype(np.float64) + entries[:-1]) / 2
    return np.searchsorted(between, points, side="right").astype(np.uint16)


def at_precision(values: NDArray[np.float32], stored_as: FloatName, tensor: str) -> Dense:
    """Round plain values to the precision of the file.

    Raises:
        PassError: a value is too large for it, or not finite.
    """
    finite(values, tensor)
    with np.errstate(over="ignore"):
        rounded = values.astype(stored_as).astype(np.float32)
    if not np.isfinite(rounded).all():
        raise PassError(f"a value is too large for {stored_as}; take float32", tensor=tensor)
    return Dense(rounded, stored_as)
