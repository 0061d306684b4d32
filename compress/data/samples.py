"""Photos that come with installed packages, so that a run needs no data of its own."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from PIL import Image, ImageOps
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from compress.data.collect import collect
from compress.data.decoding import Entry, Progress
from compress.data.package_files import installed_file
from compress.data.photos import Photos, Role
from compress.data.transforms import read_photo
from compress.model import Preprocessing

SKLEARN = ("sklearn", "datasets", "images")
SKIMAGE = ("skimage", "data")

PHOTOS: dict[Role, tuple[tuple[str, ...], ...]] = {
    "calibration": (
        (*SKLEARN, "china.jpg"),  # a pagoda among trees, a lake, the sky
        (*SKLEARN, "flower.jpg"),  # a dahlia
        (*SKIMAGE, "chelsea.png"),  # a cat
        (*SKIMAGE, "motorcycle_left.png"),  # a motorcycle in a garage, twice: a stereo pair shows one scene,
        (*SKIMAGE, "motorcycle_right.png"),  # so both are on this side
    ),
    "validation": (
        (*SKIMAGE, "astronaut.png"),  # a woman in a space suit, a flag, a helmet
        (*SKIMAGE, "coffee.png"),  # a cup, a saucer and a spoon on a wooden table
        (*SKIMAGE, "rocket.jpg"),  # a rocket between masts at dusk
    ),
}
"""The colour photos of natural scenes and objects in the wheels of scikit-learn and scikit-image."""

DEFAULT_COUNT: dict[Role, int] = {"calibration": 1200, "validation": 200}

SMALLEST_SIDE = 0.4
"""Of the photo's own sides. Below, a crop is enlarged to more than twice its pixels and has little left to see."""

TILE_SIDE = 128
"""Of a mosaic's crops, in pixels."""

STEPS = (0.819172513396, 0.671043606704, 0.549700477902)
"""1/g, 1/g**2 and 1/g**3 with g**4 == g + 1: multiples of these, modulo 1, fill a cube evenly, however many.

Source: Roberts 2018, "The unreasonable effectiveness of quasirandom sequences".
"""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Samples:
    """Crops of the photos in the wheels of scikit-learn and scikit-image; no labels.

    Calibration and validation are cut from different photos, in turn. A crop keeps its photo's shape, at 40% to 100% of
    its sides; every other one is mirrored. A larger count adds crops and keeps those of a smaller one.

    Five photos show a network little of what it will see. So of every four to calibrate with only the first is a plain
    crop: the second is a mosaic of four crops, the third a crop in other colours, the fourth a mosaic in other colours.
    Validation is on plain crops.

    Attributes:
        count: how many; None for 1,200 to calibrate with, 200 to validate with.
    """

    count: Annotated[int, Field(ge=1, strict=True)] | None = None

    def load(
        self,
        preprocessing: Preprocessing,
        role: Role,
        *,
        classes: int,
        store: Path | None = None,
        progress: Progress | None = None,
    ) -> Photos:
        """Cut the crops; see `compress.data.sources.Source`.

        Raises:
            DataError: a package or a photo in it is missing.
        """
        count = DEFAULT_COUNT[role] if self.count is None else self.count
        paths = [installed_file(*parts) for parts in PHOTOS[role]]
        photo = functools.cache(read_photo)
        make = _varied if role == "calibration" else _crop
        entries = [make(paths, n, photo) for n in range(count)]
        cuts = "crops and mosaics" if role == "calibration" else "crops"
        kind = (
            f"{cuts} of {len(paths)} photos in the scikit-learn and scikit-image packages"
            f" ({', '.join(path.stem for path in paths)}), without labels:"
            " fidelity to the float network is what can be measured on them, accuracy is not"
        )
        return collect(entries, kind, preprocessing, store=store, progress=progress)


Photo = Callable[[Path], Image.Image]


def _crop(paths: Sequence[Path], step: int, photo: Photo) -> Entry:
    """Return the crop at this step of the sequence, of the photos in turn; 0 is the whole of the first."""
    path = paths[step % len(paths)]
    shrink, across, down = (step * each % 1 for each in STEPS)
    side, mirrored = 1 - (1 - SMALLEST_SIDE) * shrink, step % 2 == 1

    def read() -> Image.Image:
        whole = photo(path)
        width, height = round(side * whole.width), round(side * whole.height)
        left, top = round(across * (whole.width - width)), round(down * (whole.height - height))
        crop = whole.crop((left, top, left + width, top + height))
        return ImageOps.mirror(crop) if mirrored else crop

    name = f"{path.name}, crop {step}{', mirrored' if mirrored else ''}"
    return Entry(name, (path.name, path.stat().st_size, side, across, down, mirrored), read)


def _varied(paths: Sequence[Path], step: int, photo: Photo) -> Entry:
    """Return what calibration sees at this step: a crop or a mosaic, as it is or in other colours."""
    number = step // 4
    entry = _mosaic(paths, number, photo) if step % 2 else _crop(paths, number, photo)
    return _recoloured(entry, number) if step % 4 >= 2 else entry


def _mosaic(paths: Sequence[Path], number: int, photo: Photo) -> Entry:
    """Return four crops of different photos, side by side in a square."""
    # Steps apart by one are crops of different photos; an odd stride between mosaics brings all photos together.
    crops = [_crop(paths, 7 * number + place, photo) for place in range(4)]

    def read() -> Image.Image:
        square = Image.new("RGB", (2 * TILE_SIDE, 2 * TILE_SIDE))
        for place, crop in enumerate(crops):
            tile = crop.read().convert("RGB").resize((TILE_SIDE, TILE_SIDE), Image.Resampling.BILINEAR, reducing_gap=2)
            square.paste(tile, (TILE_SIDE * (place % 2), TILE_SIDE * (place // 2)))
        return square

    identity = ("mosaic", TILE_SIDE, *(part for crop in crops for part in crop.identity))
    return Entry(f"mosaic {number}: {'; '.join(crop.name for crop in crops)}", identity, read)


def _recoloured(entry: Entry, number: int) -> Entry:
    """Return a photo with each colour channel and the whole brighter or darker, by up to a half and more."""
    random = np.random.default_rng(number)
    gains, offset = random.uniform(0.6, 1.4, 3) * random.uniform(0.7, 1.3), random.uniform(-30, 30)
    tables = np.clip(gains[:, None] * np.arange(256) + offset, 0, 255).round().astype(int)

    def read() -> Image.Image:
        return entry.read().convert("RGB").point(tables.ravel().tolist())

    return Entry(f"{entry.name}, in other colours", (*entry.identity, *gains.tolist(), offset), read)
