"""Labelled photos to train on: checked, and some of them set aside to tell when training is at its best."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compress.data.photos import Photos
from compress.errors import DataError


def labels_of(photos: Photos, classes: int) -> NDArray[np.int64]:
    """Return the labels, shape (photos,), each from 0 to `classes` - 1, none of which is without a photo.

    Raises:
        DataError: there are no photos or no labels, a label is none of the classes, or a class has no photo.
    """
    if len(photos) == 0:
        raise DataError("training needs photos")
    if photos.labels is None:
        raise DataError(
            "training needs labels, and the calibration photos have none; name labelled photos in data.calibration, "
            "or use the pass distill, which needs none"
        )
    wrong = (photos.labels < 0) | (photos.labels >= classes)
    if wrong.any():
        place = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"{photos.names[place]}: its label is {int(photos.labels[place])}, and the network has {classes:,} classes"
            f" (allowed: 0 to {classes - 1:,})"
        )
    empty = np.flatnonzero(np.bincount(photos.labels, minlength=classes) == 0)
    if len(empty):
        more = f" and {len(empty) - 1:,} more classes" if len(empty) > 1 else ""
        raise DataError(
            f"no photo among the {len(photos):,} to train on is of class {int(empty[0])}{more}; a network unlearns "
            "what it does not see: add photos of it, or take a network with fewer classes"
        )
    return photos.labels


def split(labels: NDArray[np.int64], share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Part photos into those to train on and those held out, of each class about the same share.

    Each class keeps a photo to train on. With the same seed what a smaller share holds out, a larger one does too.

    Args:
        labels: shape (photos,).
        share: of the photos to hold out, 0 to 0.5.
        seed: of the run, not of a stage: what one stage has held out, another must not train on.
    Returns:
        the places of either, ascending.
    Raises:
        DataError: some are to be held out, and no class has a second photo.
    """
    if share == 0:
        return np.arange(len(labels)), np.zeros(0, np.int64)
    order = np.random.default_rng(seed).permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]
    counts = np.bincount(labels)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    rank = np.arange(len(labels)) - starts[labels[by_class]]
    last_first = by_class[np.argsort(-(rank + 0.5) / counts[labels[by_class]], kind="stable")]
    to_spare = last_first[np.isin(last_first, by_class[rank > 0])]
    if len(to_spare) == 0:
        raise DataError(
            f"held_out is {share:g}, and no class has more than one photo of {len(labels):,}; set held_out to 0"
        )
    held = np.sort(to_spare[: max(1, round(share * len(labels)))])
    return np.setdiff1d(np.arange(len(labels)), held), held
