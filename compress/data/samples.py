"""Crops of photos in installed packages, so that a run needs no data of its own."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from PIL import Image, ImageOps
from pydantic import Field
from pydantic.dataclasses import dataclass

from compress.data.class_index import NetworkClasses
from compress.data.collage import make_collage
from compress.data.collect import PhotoList, PhotoSource
from compress.data.decoding import PhotoEntry
from compress.data.package_files import package_file
from compress.data.photos import Role
from compress.data.transforms import read_photo
from compress.runtime.option_types import OPTIONS

_SKLEARN = ("sklearn", "datasets", "images")
_SKIMAGE = ("skimage", "data")
_MATPLOTLIB = ("matplotlib", "mpl-data", "sample_data")

PHOTOS: dict[Role, tuple[tuple[str, ...], ...]] = {
    "calibration": (
        (*_SKLEARN, "china.jpg"),  # a pagoda among trees, a lake, the sky
        (*_SKLEARN, "flower.jpg"),  # a dahlia
        (*_SKIMAGE, "chelsea.png"),  # a cat
        (*_SKIMAGE, "motorcycle_left.png"),  # a motorcycle in a garage; a stereo pair shows one scene, so both photos
        (*_SKIMAGE, "motorcycle_right.png"),  # have the same role
        ("ndf", "tests", "book-2020460_640.jpg"),  # books and a cup at a window
        (*_MATPLOTLIB, "grace_hopper.jpg"),  # a woman in a uniform
        (*_SKIMAGE, "retina.jpg"),
        (*_SKIMAGE, "ihc.png"),  # cells under a microscope
        (*_SKIMAGE, "hubble_deep_field.jpg"),
        (*_SKIMAGE, "grass.png"),
        (*_SKIMAGE, "gravel.png"),
        (*_SKIMAGE, "brick.png"),
        (*_SKIMAGE, "page.png"),  # printed text
        (*_SKIMAGE, "moon.png"),
        (*_SKIMAGE, "color.png"),  # a color wheel
        (*_SKIMAGE, "cell.png"),
    ),
    "validation": (
        (*_SKIMAGE, "coffee.png"),  # a cup, a saucer and a spoon on a wooden table
        (*_SKIMAGE, "astronaut.png"),  # a woman in a space suit, a flag, a helmet
        (*_SKIMAGE, "rocket.jpg"),  # a rocket between masts at dusk
        (*_SKIMAGE, "camera.png"),  # a man behind a camera, gray
        (*_SKIMAGE, "coins.png"),  # old coins, gray
        (*_SKIMAGE, "text.png"),  # handwriting
    ),
}
"""Photos in the wheels of packages that this one needs. The more different they are, the better the statistics."""

_DEFAULT_COUNT: dict[Role, int] = {"calibration": 1200, "validation": 200}

_MIN_SIDE = 0.4
"""Minimum side of a crop, as a fraction of the photo's. Smaller crops would be blurred."""

_STEPS = (0.819172513396, 0.671043606704, 0.549700477902)
"""1/g, 1/g**2 and 1/g**3 with g**4 == g + 1. Their multiples, modulo 1, fill a cube evenly.

Source: Roberts 2018, "The unreasonable effectiveness of quasirandom sequences".
"""


@dataclass(frozen=True, config=OPTIONS)
class Samples(PhotoSource):
    """Crops of the photos in the wheels of packages that this one needs; no labels.

    Calibration and validation use different photos. A crop has its photo's aspect ratio and 40% to 100% of its sides;
    every second crop is mirrored. A larger count only adds crops.

    Calibration alternates crops and collages of all photos. Validation uses crops.

    Attributes:
        count: number of crops; None: 1,200 for calibration, 200 for validation.
    """

    count: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] | None = None

    def list_photos(self, role: Role, classes: NetworkClasses) -> PhotoList:
        """List the crops; see `PhotoSource`.

        Raises:
            DataError: a package or its photo is missing.
        """
        count = _DEFAULT_COUNT[role] if self.count is None else self.count
        paths = [package_file(*parts) for parts in PHOTOS[role]]
        read = functools.cache(read_photo)
        make = _calibration_entry if role == "calibration" else _crop
        cuts, names = "crops and collages", ", ".join(path.stem for path in paths)
        if role == "validation":
            cuts, names = "crops", f"{names}; intervals cover other crops of them, not other photos"
        kind = f"{cuts} of {len(paths)} photos in installed packages ({names}), without labels"
        return PhotoList([make(paths, step, read) for step in range(count)], kind)


_ReadPhoto = Callable[[Path], Image.Image]


def _crop(paths: Sequence[Path], step: int, read_whole: _ReadPhoto) -> PhotoEntry:
    """Return the crop at a step of the sequence; step 0 is the whole first photo."""
    path = paths[step % len(paths)]
    shrink, across, down = (step * each % 1 for each in _STEPS)
    side, mirrored = 1 - (1 - _MIN_SIDE) * shrink, step % 2 == 1

    def read() -> Image.Image:
        photo = read_whole(path)
        width, height = round(side * photo.width), round(side * photo.height)
        left, top = round(across * (photo.width - width)), round(down * (photo.height - height))
        crop = photo.crop((left, top, left + width, top + height))
        return ImageOps.mirror(crop) if mirrored else crop

    name = f"{path.name}, crop {step}{', mirrored' if mirrored else ''}"
    return PhotoEntry(name, (path.name, path.stat().st_size, side, across, down, mirrored), read)


def _calibration_entry(paths: Sequence[Path], step: int, read_whole: _ReadPhoto) -> PhotoEntry:
    return _collage(paths, step // 2, read_whole) if step % 2 else _crop(paths, step // 2, read_whole)


def _collage(paths: Sequence[Path], number: int, read_whole: _ReadPhoto) -> PhotoEntry:
    def read() -> Image.Image:
        return make_collage([read_whole(path) for path in paths], np.random.default_rng(number))

    identity = (part for path in paths for part in (path.name, path.stat().st_size))
    return PhotoEntry(f"collage {number}", ("collage", number, *identity), read)
