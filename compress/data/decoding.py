"""Parallel decoding of photos, in order."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from compress.data.transforms import to_pixels
from compress.errors import DataError
from compress.model import Preprocessing
from compress.runtime.progress import Progress
from compress.runtime.threads import map_ahead


@dataclass(frozen=True)
class PhotoEntry:
    """A photo to decode.

    Attributes:
        name: origin, for messages.
        identity: JSON values that change with the photo.
        read: returns the photo, RGB or gray, or raises DataError.
        label: class index; None for all entries of a source or for none.
    """

    name: str
    identity: tuple[str | int | float, ...]
    read: Callable[[], Image.Image]
    label: int | None = None


@dataclass(frozen=True, eq=False)
class DecodedPhotos:
    """Pixels of the readable photos.

    Attributes:
        pixels: shape (n, height, width, channels).
        sha256: hex digest of shape and pixels.
        skipped: reason by index of each unreadable entry.
    """

    pixels: NDArray[np.uint8]
    sha256: str
    skipped: dict[int, str]


def file_identity(path: Path) -> tuple[str | int, ...]:
    """Return values that change with the content of a file, without reading it.

    A copy can keep size and modification time of the file that it replaces. The time of the last change of the inode
    (on Windows: of creation) cannot be set.
    """
    try:
        status = path.stat()
    except (OSError, ValueError):  # reading the photo fails too, and gives the reason
        return (str(path.absolute()),)
    return str(path.absolute()), status.st_size, status.st_mtime_ns, status.st_ctime_ns


def pixel_shape(preprocessing: Preprocessing) -> tuple[int, int, int]:
    """Return height, width and channels of a photo."""
    return preprocessing.height, preprocessing.width, len(preprocessing.channels)


def start_digest(preprocessing: Preprocessing) -> hashlib._Hash:
    """Return the hash `sha256` of `DecodedPhotos` before the first photo."""
    return hashlib.sha256(repr(pixel_shape(preprocessing)).encode())


def decode(
    entries: Sequence[PhotoEntry], preprocessing: Preprocessing, stream: BinaryIO, progress: Progress
) -> tuple[str, dict[int, str]]:
    """Write the pixels of readable photos to `stream`, in order; return `sha256` and `skipped` of `DecodedPhotos`."""
    digest, workers = start_digest(preprocessing), os.cpu_count() or 1
    skipped: dict[int, str] = {}
    read = partial(pixels_or_error, preprocessing=preprocessing)
    with progress("reading photos", len(entries)) as advance, ThreadPoolExecutor(workers) as pool:
        for index, result in enumerate(map_ahead(pool, read, entries, 4 * workers)):
            if isinstance(result, DataError):
                skipped[index] = str(result)
            else:
                stream.write(result.data)
                digest.update(result.data)
            advance(1)
    return digest.hexdigest(), skipped


def pixels_or_error(entry: PhotoEntry, preprocessing: Preprocessing) -> NDArray[np.uint8] | DataError:
    """Return a photo's pixels, or why it cannot be read."""
    try:
        return to_pixels(entry.read(), preprocessing)
    except DataError as error:
        return error
