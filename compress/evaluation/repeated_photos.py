"""A warning about photos that are measured several times."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence

from compress.data.photos import Photos

_MAX_REPEATED = 0.01
"""Fraction of photos that may be the same as others without a warning; data sets have a few."""


def photo_digests(photos: Photos) -> list[bytes]:
    """Return a hash of the pixels of each photo."""
    return [hashlib.sha256(photos.at(slice(i, i + 1)).tobytes()).digest() for i in range(len(photos))]


def warn_of_repeated_photos(photos: Photos, digests: Sequence[bytes] | None = None) -> None:
    """Warn of photos with the same pixels, such as copies and links.

    No network is right about all of them if their labels differ. If they are equal, each counts several times, and
    intervals are too narrow.

    Args:
        photos: for validation.
        digests: `photo_digests` of the photos, if they are known.
    """
    first: dict[bytes, int] = {}
    repeated = [
        (index, other)
        for index, each in enumerate(digests or photo_digests(photos))
        if (other := first.setdefault(each, index)) < index
    ]
    labels = photos.labels
    conflicts = [pair for pair in repeated if labels is not None and labels[pair[0]] != labels[pair[1]]]
    if conflicts:
        problem, remedy, named = "others of another class", "keep each photo in one class", conflicts
    elif len(repeated) > _MAX_REPEATED * len(photos):
        problem, remedy, named = "others, so that intervals are too narrow", "remove copies and links", repeated
    else:
        return
    index, other = named[0]
    logging.getLogger(__name__).warning(
        "%s validation photos are the same as %s, for example %s and %s; %s",
        f"{len(named):,}",
        problem,
        photos.names[other],
        photos.names[index],
        remedy,
    )
