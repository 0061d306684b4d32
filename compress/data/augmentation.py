"""Other views of photos: what a network would see of them from nearer, or in a mirror."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional


class Part(NamedTuple):
    """Which of some photos are at hand, where what is drawn for one must not depend on who draws.

    Attributes:
        photos: how many there are in all.
        own: which of them are at hand.
    """

    photos: int
    own: slice


_LEAST_AREA = 0.35
"""Share of a photo that a view shows, at least."""

_STRETCH = 0.25
"""Logarithm of the most that a view is wider or higher than the photo."""


def random_views(
    inputs: Tensor, random: np.random.Generator, *, mirror: bool = True, part: Part | None = None
) -> Tensor:
    """Return a stretch of each photo, at random, enlarged to the photo's size, half of them mirrored.

    Args:
        inputs: shape (n, channels, height, width).
        random: draws the stretches.
        mirror: whether half of them are mirrored.
        part: of which photos they are a part, where others are drawn for beside them.
    Returns:
        the same shape, memory format and device.
    Source: Szegedy et al. 2015, arXiv:1409.4842, section 6, with less of it: views are to be like photos.
    """
    height, width = inputs.shape[2:]
    stretches = drawn_stretches(len(inputs) if part is None else part.photos, height, width, random, mirror=mirror)
    views = []
    for place, (rows, columns, mirrored) in enumerate(stretches if part is None else stretches[part.own]):
        view = inputs[place : place + 1, :, rows, columns]
        view = view.flip(3) if mirrored else view
        views.append(functional.interpolate(view, (height, width), mode="bilinear", align_corners=False))
    return _like(inputs, torch.cat(views))


def drawn_stretches(
    photos: int, height: int, width: int, random: np.random.Generator, *, mirror: bool = True
) -> list[tuple[slice, slice, bool]]:
    """Draw for each photo which rows and columns a view shows, and whether it is mirrored."""
    stretches = []
    for _ in range(photos):
        area, stretch = random.uniform(_LEAST_AREA, 1), np.exp(random.uniform(-_STRETCH, _STRETCH))
        rows = max(1, round(height * min(1.0, (area * stretch) ** 0.5)))
        columns = max(1, round(width * min(1.0, (area / stretch) ** 0.5)))
        top, left = (int(random.integers(0, left_over + 1)) for left_over in (height - rows, width - columns))
        mirrored = random.random() < 0.5 and mirror
        stretches.append((slice(top, top + rows), slice(left, left + columns), mirrored))
    return stretches


def shifted(
    pixels: NDArray[np.uint8], random: np.random.Generator, share: float, *, mirror: bool, part: Part | None = None
) -> NDArray[np.uint8]:
    """Return each photo moved at random, what comes in at its edge repeating the edge.

    Args:
        pixels: shape (n, height, width, channels).
        random: draws how far.
        share: of a side that a photo is moved by at most, 0 to 0.5.
        mirror: whether half of them, at random, are mirrored.
        part: of which photos they are a part, where others are drawn for beside them.
    Returns:
        the same shape.
    Source: Lee et al. 2015, arXiv:1409.5185, section 3 (crops of photos with padding), as is usual on small photos.
    """
    photos, height, width, channels = pixels.shape
    drawn, own = (photos, slice(None)) if part is None else part
    rows, columns = (_moved(drawn, side, round(share * side), random) for side in (height, width))
    if mirror:
        columns = np.where(random.random((drawn, 1)) < 0.5, width - 1 - columns, columns)
    rows, columns = rows[own], columns[own]
    lines = np.arange(photos)[:, None] * height + rows
    moved: NDArray[np.uint8] = np.take(pixels.reshape(-1, channels), lines[:, :, None] * width + columns[:, None], 0)
    return moved


def _moved(photos: int, side: int, most: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Return for each photo which row (or column) each of its rows shows, shape (photos, side)."""
    moved = np.arange(side) + random.integers(-most, most + 1, (photos, 1))
    return np.clip(moved, 0, side - 1, out=moved)


def _like(inputs: Tensor, views: Tensor) -> Tensor:
    """Return views in the memory format of the photos that they are of."""
    last = inputs.is_contiguous(memory_format=torch.channels_last)
    return views.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
