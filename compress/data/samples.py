"""Photos that come with installed packages, so that a run needs no data of its own."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from PIL import Image, ImageOps
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from compress.data.collect import collect
from compress.data.decoding import Entry, Progress
from compress.data.installed import installed_file
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

DEFAULT_COUNT: dict[Role, int] = {"calibration": 400, "validation": 200}

SMALLEST_SIDE = 0.4
"""Of the photo's own sides. Below, a crop is enlarged to more than twice its pixels and has little left to see."""

STEPS = (0.819172513396, 0.671043606704, 0.549700477902)
"""1/g, 1/g**2 and 1/g**3 with g**4 == g + 1: multiples of these, modulo 1, fill a cube evenly, however many.

Source: Roberts 2018, "The unreasonable effectiveness of quasirandom sequences".
"""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Samples:
    """Crops of the photos in the wheels of scikit-learn and scikit-image; no labels.

    Calibration and validation are cut from different photos, in turn. A crop keeps its photo's shape, at 40% to 100% of
    its sides; every other one is mirrored. A larger count adds crops and keeps those of a smaller one.

    Attributes:
        count: how many crops; None for 400 to calibrate with, 200 to validate with.
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
        entries = [_crop(paths[n % len(paths)], n, photo) for n in range(count)]
        kind = (
            f"crops of {len(paths)} photos in the scikit-learn and scikit-image packages"
            f" ({', '.join(path.stem for path in paths)}), without labels:"
            " fidelity to the float network is what can be measured on them, accuracy is not"
        )
        return collect(entries, kind, preprocessing, store=store, progress=progress)


def _crop(path: Path, step: int, photo: Callable[[Path], Image.Image]) -> Entry:
    """Return the crop of a photo at this step of the sequence; 0 is the whole."""
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
