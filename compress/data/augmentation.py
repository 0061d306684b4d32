"""Data augmentation: random crops, shifts and mirror images of photos."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

_MIN_AREA = 0.35
"""Smallest crop, as a fraction of the photo's area."""

_MAX_LOG_ASPECT = 0.25
"""Maximum of |log(a / b)|, where a and b are the crop's fractions of the two sides."""


def random_crops(inputs: Tensor, random: np.random.Generator) -> Tensor:
    """Return a random crop of each photo, resized to the photo's size; half of the crops are mirrored.

    Args:
        inputs: shape (n, channels, height, width).
        random: generator of the crops.
    Source: Szegedy et al. 2015, arXiv:1409.4842, section 6, with larger crops.
    """
    height, width = inputs.shape[2:]
    resized = []
    for index, (rows, columns, mirrored) in enumerate(draw_crops(len(inputs), height, width, random)):
        # A slice, unlike a single index, keeps the memory format, and rounding depends on it.
        pixels = inputs[index : index + 1, :, rows, columns]
        pixels = pixels.flip(3) if mirrored else pixels
        resized.append(functional.interpolate(pixels, (height, width), mode="bilinear", align_corners=False))
    channels_last = inputs.is_contiguous(memory_format=torch.channels_last)
    return torch.cat(resized).contiguous(
        memory_format=torch.channels_last if channels_last else torch.contiguous_format
    )


def draw_crops(count: int, height: int, width: int, random: np.random.Generator) -> list[tuple[slice, slice, bool]]:
    """Draw a crop for each of `count` photos: rows, columns, and whether it is mirrored."""
    crops = []
    for _ in range(count):
        area, aspect = random.uniform(_MIN_AREA, 1), np.exp(random.uniform(-_MAX_LOG_ASPECT, _MAX_LOG_ASPECT))
        rows = max(1, round(height * min(1.0, (area * aspect) ** 0.5)))
        columns = max(1, round(width * min(1.0, (area / aspect) ** 0.5)))
        top = int(random.integers(0, height - rows + 1))
        left = int(random.integers(0, width - columns + 1))
        mirrored = random.random() < 0.5
        crops.append((slice(top, top + rows), slice(left, left + columns), mirrored))
    return crops


def random_shifts(
    pixels: NDArray[np.uint8],
    random: np.random.Generator,
    max_shift: float,
    *,
    mirror: bool,
    batch: int | None = None,
    shard: slice = slice(None),
) -> NDArray[np.uint8]:
    """Return each photo shifted at random; edge pixels are repeated to fill the gap.

    Args:
        pixels: shape (n, height, width, channels).
        random: generator of the shifts.
        max_shift: maximum shift as a fraction of the side, 0 to 0.5.
        mirror: mirror half of the photos.
        batch: photos in the whole batch, for which each process draws the same random numbers; None: n.
        shard: place of `pixels` in the batch.
    Source: Lee et al. 2015, arXiv:1409.5185, section 3 (crops of padded photos).
    """
    photos, height, width, channels = pixels.shape
    rows, columns = (
        _shifted_indices(batch or photos, side, round(max_shift * side), random) for side in (height, width)
    )
    if mirror:
        columns = np.where(random.random((len(columns), 1)) < 0.5, width - 1 - columns, columns)
    lines = np.arange(photos)[:, None] * height + rows[shard]
    flat = pixels.reshape(-1, channels)
    shifted: NDArray[np.uint8] = np.take(flat, lines[:, :, None] * width + columns[shard, None], 0)
    return shifted


def _shifted_indices(count: int, side: int, max_pixels: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Return the source row (or column) of each row of each photo, shape (count, side)."""
    indices = np.arange(side) + random.integers(-max_pixels, max_pixels + 1, (count, 1))
    return np.clip(indices, 0, side - 1, out=indices)
