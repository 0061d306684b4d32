"""Parallel decoding of photos, in order."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from compress.data.transforms import to_pixels
from compress.errors import DataError
from compress.model import Preprocessing
from compress.runtime.progress import Progress


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
    digest = start_digest(preprocessing)
    skipped: dict[int, str] = {}
    with progress("reading photos", len(entries)) as advance:
        for index, result in enumerate(_decode_in_order(entries, preprocessing)):
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


def _decode_in_order(
    entries: Sequence[PhotoEntry], preprocessing: Preprocessing
) -> Iterator[NDArray[np.uint8] | DataError]:
    """Decode a bounded number of photos ahead, to bound memory."""
    workers = os.cpu_count() or 1
    pending: deque[Future[NDArray[np.uint8] | DataError]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for entry in entries:
            pending.append(pool.submit(pixels_or_error, entry, preprocessing))
            if len(pending) > 4 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
