"""Codebooks and plain values at the precision of the file."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.errors import PassError
from compress.tensors.checks import check_finite
from compress.tensors.forms import Dense, FloatName


def round_codebook(centroids: NDArray[np.float64], stored_as: FloatName, tensor: str) -> NDArray[np.float32]:
    """Return rounded centroids as a codebook: zero first, the others ascending and distinct.

    Raises:
        PassError: a centroid is too large for the precision.
    """
    entries = np.unique(_round(centroids, stored_as, tensor))
    return np.concatenate([np.zeros(1, np.float32), entries[entries != 0]])


def nearest_entries(entries: NDArray[np.float32], points: NDArray[np.float64]) -> NDArray[np.uint16]:
    """Return the index of the nearest entry for each point; `entries` ascend. Ties go to the upper entry."""
    middles = (entries[1:].astype(np.float64) + entries[:-1]) / 2
    return np.searchsorted(middles, points, side="right").astype(np.uint16)


def round_to_precision(values: NDArray[np.float32], stored_as: FloatName, tensor: str) -> Dense:
    """Return plain values at the precision of the file.

    Raises:
        PassError: a value is too large for the precision, or not finite.
    """
    check_finite(values, tensor)
    return Dense(_round(values, stored_as, tensor), stored_as)


def _round(values: NDArray[np.floating[Any]], stored_as: FloatName, tensor: str) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        rounded = values.astype(stored_as).astype(np.float32)
    if not np.isfinite(rounded).all():
        raise PassError(f"{np.abs(values).max():g} is too large for {stored_as}; take float32", tensor=tensor)
    return rounded
