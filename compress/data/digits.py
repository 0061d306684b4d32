"""Handwritten digits: small, labelled, always there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from compress.data.collect import collect
from compress.data.decoding import Entry, Progress
from compress.data.photos import Photos, Role
from compress.model import Preprocessing

CLASSES = 10
VALIDATION_EVERY = 3
"""Of each digit, in the order of the data set, every third image is for validation."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Digits:
    """scikit-learn's 1,797 handwritten digits, 8 x 8 grey: 1,201 to calibrate with, 596 to validate with.

    They are labelled 0 to 9; a network that does not tell ten classes apart gets them without labels.

    Attributes:
        limit: at most this many, all digits alike; None for all.
    """

    limit: Annotated[int, Field(ge=1, strict=True)] | None = None

    def load(
        self,
        preprocessing: Preprocessing,
        role: Role,
        *,
        classes: int,
        store: Path | None = None,
        progress: Progress | None = None,
    ) -> Photos:
        """Enlarge the digits to the network's input; see `compress.data.sources.Source`."""
        from sklearn.datasets import load_digits  # noqa: PLC0415  takes a second to import

        images, digits = load_digits(return_X_y=True)
        grey = np.round(images.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
        entries = [
            _entry(number, grey[number], int(digits[number]) if classes == CLASSES else None)
            for number in _of_role(digits, role)[: self.limit]
        ]
        labelled = "labelled 0 to 9" if classes == CLASSES else f"without labels: the network has {classes:,} classes"
        kind = f"handwritten digits in the scikit-learn package, {labelled}"
        return collect(entries, kind, preprocessing, store=store, progress=progress)


def _of_role(digits: NDArray[np.int64], role: Role) -> list[int]:
    """Return the positions of a role's images, cycling through the ten digits so that a part has all alike."""
    by_digit = (np.flatnonzero(digits == digit) for digit in range(CLASSES))
    ranked = sorted((rank, int(number)) for numbers in by_digit for rank, number in enumerate(numbers))
    return [n for rank, n in ranked if (rank % VALIDATION_EVERY == VALIDATION_EVERY - 1) == (role == "validation")]


def _entry(number: int, pixels: NDArray[np.uint8], label: int | None) -> Entry:
    return Entry(f"digit image {number}", ("digits", number), lambda: Image.fromarray(pixels), label)
