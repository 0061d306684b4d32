"""Photos still to be read, and how all cores read them in order."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from compress.data.transforms import to_pixels
from compress.errors import DataError
from compress.model import Preprocessing

Progress = Callable[[int, int], None]
"""Called with the photos done and all photos, after each."""


@dataclass(frozen=True)
class Entry:
    """A photo still to be read.

    Attributes:
        name: where it comes from, for messages.
        identity: changes when the photo does; plain values, as it is written as JSON.
        read: gives the photo, RGB or grey; raises DataError with the reason where it cannot.
        label: its class, or None; all of a set have one, or none has.
        weight: how much it counts beside the others.
    """

    name: str
    identity: tuple[str | int | float, ...]
    read: Callable[[], Image.Image]
    label: int | None = None
    weight: float = 1.0


def pixel_shape(preprocessing: Preprocessing) -> tuple[int, int, int]:
    """Return height, width and channels of a photo's pixels."""
    return preprocessing.height, preprocessing.width, 1 if preprocessing.channels == "L" else 3


def decode(
    entries: Sequence[Entry], preprocessing: Preprocessing, stream: BinaryIO, progress: Progress | None
) -> tuple[str, dict[int, str]]:
    """Write the pixels of all readable photos to `stream`, in order.

    Returns:
        their digest, and by position in `entries` why a photo was skipped.
    """
    digest = hashlib.sha256(repr(pixel_shape(preprocessing)).encode())
    skipped: dict[int, str] = {}
    for index, result in enumerate(_in_order(entries, preprocessing)):
        if isinstance(result, DataError):
            skipped[index] = str(result)
        else:
            stream.write(result.data)
            digest.update(result.data)
        if progress:
            progress(index + 1, len(entries))
    return digest.hexdigest(), skipped


def pixels_or_error(entry: Entry, preprocessing: Preprocessing) -> NDArray[np.uint8] | DataError:
    """Return a photo's pixels, or why there are none."""
    try:
        return to_pixels(entry.read(), preprocessing)
    except DataError as error:
        return error


def _in_order(entries: Sequence[Entry], preprocessing: Preprocessing) -> Iterator[NDArray[np.uint8] | DataError]:
    """Decode a few photos ahead of whoever takes them and no more, so that memory does not grow with their number."""
    workers = os.cpu_count() or 1
    pending: deque[Future[NDArray[np.uint8] | DataError]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for entry in entries:
            pending.append(pool.submit(pixels_or_error, entry, preprocessing))
            if len(pending) > 4 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
