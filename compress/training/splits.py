"""Labels of the calibration photos, and their split into training and validation photos."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compress.data.photos import Photos
from compress.errors import DataError


def training_labels(photos: Photos, classes: int) -> NDArray[np.int64]:
    """Return the labels of photos, shape (photos,), 0 to `classes` - 1.

    Raises:
        DataError: there are no photos or no labels, or a class has no photo.
    """
    if len(photos) == 0:
        raise DataError("the pass train needs photos, and data.calibration has none")
    if photos.labels is None:
        raise DataError(
            f"the pass train needs labels, and the calibration photos have none; {photos.description}: name a folder "
            f"with one subfolder for each of the {classes:,} classes, or a CSV file with the classes, in "
            "data.calibration, or use the pass distill, which needs no labels"
        )
    empty = np.flatnonzero(np.bincount(photos.labels, minlength=classes) == 0)
    if len(empty):
        others = f" and {len(empty) - 1:,} other classes" if len(empty) > 1 else ""
        raise DataError(
            f"none of the {len(photos):,} calibration photos is of class {int(empty[0])}{others}; a network forgets a "
            "class that it does not see: add photos of each class, or use a network with fewer classes"
        )
    return photos.labels


def stratified_split(
    labels: NDArray[np.int64], validation_fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split photos into training and validation photos, each class in about the same proportion.

    Every class keeps a training photo. With one seed, a larger fraction only adds validation photos.

    Args:
        labels: shape (photos,).
        validation_fraction: 0 to 0.5.
        seed: of the run; all stages have the same validation photos.
    Returns:
        ascending indices of the training photos and of the validation photos.
    Raises:
        DataError: the fraction is above 0, and no class has a second photo.
    """
    if validation_fraction == 0:
        return np.arange(len(labels)), np.zeros(0, np.int64)
    order = np.random.default_rng(seed).permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]
    counts = np.bincount(labels)
    starts = np.cumsum(counts) - counts
    rank = np.arange(len(labels)) - starts[labels[by_class]]
    candidates, rank = by_class[rank > 0], rank[rank > 0]
    # Photos with the highest rank within their class, relative to the number of photos of the class, come first.
    candidates = candidates[np.argsort(-(rank + 0.5) / counts[labels[candidates]], kind="stable")]
    if len(candidates) == 0:
        raise DataError(
            f"validation_split is {validation_fraction:g}, but each class has a single photo of the {len(labels):,}; "
            "set validation_split to 0"
        )
    validation = np.sort(candidates[: max(1, round(validation_fraction * len(labels)))])
    return np.setdiff1d(np.arange(len(labels)), validation), validation
