"""Other views of photos: what a network would see of them from nearer, or in a mirror."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

_LEAST_AREA = 0.35
"""Share of a photo that a view shows, at least."""

_STRETCH = 0.25
"""Logarithm of the most that a view is wider or higher than the photo."""


def random_views(inputs: Tensor, random: np.random.Generator) -> Tensor:
    """Return a stretch of each photo, at random, enlarged to the photo's size, half of them mirrored.

    Args:
        inputs: shape (n, channels, height, width).
        random: draws the stretches.
    Returns:
        the same shape, memory format and device.
    Source: Szegedy et al. 2015, arXiv:1409.4842, section 6, with less of it: views are to be like photos.
    """
    height, width = inputs.shape[2:]
    views = []
    for place in range(len(inputs)):
        photo = inputs[place : place + 1]
        area, stretch = random.uniform(_LEAST_AREA, 1), np.exp(random.uniform(-_STRETCH, _STRETCH))
        rows = max(1, round(height * min(1.0, (area * stretch) ** 0.5)))
        columns = max(1, round(width * min(1.0, (area / stretch) ** 0.5)))
        top, left = (int(random.integers(0, left_over + 1)) for left_over in (height - rows, width - columns))
        view = photo[:, :, top : top + rows, left : left + columns]
        view = view.flip(3) if random.random() < 0.5 else view
        views.append(functional.interpolate(view, (height, width), mode="bilinear", align_corners=False))
    memory_format = torch.channels_last if inputs.is_contiguous(memory_format=torch.channels_last) else None
    together = torch.cat(views)
    return together.contiguous(memory_format=memory_format) if memory_format else together.contiguous()
