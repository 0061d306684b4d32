"""Collages: shapes cut from photos, recolored and pasted over each other. Few photos give many different images.

Source: Baradad et al. 2021, "Learning to see by looking at noise", arXiv:2106.05963, the "dead leaves" images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageOps

_SIDE = 256
"""Width and height of a collage, in pixels."""

_MIN_SHAPES, _MAX_SHAPES = 3, 15

_MIN_RADIUS, _MAX_RADIUS = 16, 120

_MIN_CROP = 0.25
"""Minimum sides of a crop, as a fraction of the photo's."""

_RECOLORED, _PERMUTED, _MIRRORED, _ROUND = 0.6, 0.3, 0.5, 0.5
"""Probabilities: a crop is recolored, has its channels permuted, is mirrored; a shape is an ellipse."""


def make_collage(photos: Sequence[Image.Image], random: np.random.Generator) -> Image.Image:
    """Return a random collage of RGB photos."""
    collage = _make_crop(photos, (_SIDE, _SIDE), random)
    for _ in range(int(random.integers(_MIN_SHAPES, _MAX_SHAPES + 1))):
        # Radii follow a power law, as those of objects in photos do.
        radius = min(_MIN_RADIUS * random.random() ** -0.6, _MAX_RADIUS)
        width, height = (int(2 * radius * random.uniform(0.6, 1.4)) for _ in range(2))
        left, top = (int(random.integers(-int(radius), _SIDE)) for _ in range(2))
        collage.paste(_make_crop(photos, (width, height), random), (left, top), _make_shape(width, height, random))
    return collage


def _make_crop(photos: Sequence[Image.Image], size: tuple[int, int], random: np.random.Generator) -> Image.Image:
    photo = photos[int(random.integers(len(photos)))]
    fraction = random.uniform(_MIN_CROP, 1)
    width, height = round(fraction * photo.width), round(fraction * photo.height)
    left, top = (int(random.integers(space + 1)) for space in (photo.width - width, photo.height - height))
    box = (left, top, left + width, top + height)
    crop = photo.resize(size, Image.Resampling.BILINEAR, box=box, reducing_gap=2)
    if random.random() < _MIRRORED:
        crop = ImageOps.mirror(crop)
    if random.random() < _PERMUTED:
        crop = Image.merge("RGB", [crop.split()[channel] for channel in random.permutation(3)])
    return _recolor(crop, random) if random.random() < _RECOLORED else crop


def _recolor(photo: Image.Image, random: np.random.Generator) -> Image.Image:
    """Return a photo with random gains of the color channels and a random offset."""
    gains, offset = random.uniform(0.6, 1.4, 3) * random.uniform(0.7, 1.3), random.uniform(-30, 30)
    tables = np.clip(gains[:, None] * np.arange(256) + offset, 0, 255).round().astype(np.uint8)
    return Image.fromarray(tables[np.arange(3), np.asarray(photo)])  # faster than `photo.point` of small photos


def _make_shape(width: int, height: int, random: np.random.Generator) -> Image.Image:
    """Return the mask of an ellipse, or of a polygon within it."""
    mask = Image.new("L", (width, height))
    if random.random() < _ROUND:
        ImageDraw.Draw(mask).ellipse((0, 0, width - 1, height - 1), fill=255)
    else:
        angles = np.sort(random.uniform(0, 2 * math.pi, random.integers(3, 8)))
        corners = [(width / 2 * (1 + math.cos(angle)), height / 2 * (1 + math.sin(angle))) for angle in angles]
        ImageDraw.Draw(mask).polygon(corners, fill=255)
    return mask
