"""Cache of decoded photos on disk.

A set of photos has two files: `<key>.npy`, the pixels, and `<key>.json`, their SHA-256 and the unreadable photos. The
key is a hash of everything that determines the pixels. The `.json` file is written last. Without it, or with another
hash than the pixels have, the pair is damaged: the photos are decoded again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import PIL

from compress.data.decoding import DecodedPhotos, PhotoEntry, decode, pixel_shape, pixels_or_error, start_digest
from compress.errors import DataError
from compress.model import Preprocessing
from compress.runtime.atomic_files import atomic_writer, write_atomically
from compress.runtime.mapped_arrays import release_pages
from compress.runtime.progress import Progress

_VERSION = 4
"""Increase it when the same photos and options give different pixels."""

_HASHED_PHOTOS = 100
"""Photos of the cache that are in memory while it is checked."""


def cached_pixels(
    folder: Path, entries: Sequence[PhotoEntry], preprocessing: Preprocessing, progress: Progress
) -> DecodedPhotos:
    """Return the decoded photos as a memory map of the cache file, which is written if it is missing.

    Raises:
        DataError: the cache cannot be written or read.
    """
    path = folder / f"{_key(entries, preprocessing)}.npy"
    cached = _read(path, len(entries), preprocessing)
    if not cached or not _is_intact(cached, preprocessing) or _any_readable_now(cached, entries, preprocessing):
        _write(path, entries, preprocessing, progress)
        cached = _read(path, len(entries), preprocessing)
    if cached is None:
        raise DataError(f"cannot read back the decoded photos in {folder}; give another folder")
    return cached


def is_cached(folder: Path, entries: Sequence[PhotoEntry], preprocessing: Preprocessing) -> bool:
    """Return whether the decoded photos are in the cache."""
    return _read(folder / f"{_key(entries, preprocessing)}.npy", len(entries), preprocessing) is not None


def _key(entries: Sequence[PhotoEntry], preprocessing: Preprocessing) -> str:
    pre = preprocessing
    digest = hashlib.sha256(
        json.dumps([_VERSION, PIL.__version__, pixel_shape(pre), pre.resize, pre.short_side]).encode()
    )
    for entry in entries:
        digest.update(json.dumps(entry.identity).encode())
    return digest.hexdigest()


def _read(path: Path, photos: int, preprocessing: Preprocessing) -> DecodedPhotos | None:
    """Return the cached photos; None if they are incomplete."""
    try:
        record = json.loads(path.with_suffix(".json").read_text("utf-8"))
        pixels = np.load(path, mmap_mode="r")
        skipped = {int(index): str(reason) for index, reason in record["skipped"].items()}
        sha256 = str(record["pixels_sha256"])
    except (OSError, ValueError, EOFError, LookupError, TypeError, AttributeError):
        return None
    if pixels.dtype != np.uint8 or pixels.shape != (photos - len(skipped), *pixel_shape(preprocessing)):
        return None
    return DecodedPhotos(pixels, sha256, skipped)


def _is_intact(cached: DecodedPhotos, preprocessing: Preprocessing) -> bool:
    digest = start_digest(preprocessing)
    for start in range(0, len(cached.pixels), _HASHED_PHOTOS):
        digest.update(cached.pixels[start : start + _HASHED_PHOTOS].data)
        release_pages(cached.pixels)  # all photos may take more memory than the run
    return digest.hexdigest() == cached.sha256


def _any_readable_now(cached: DecodedPhotos, entries: Sequence[PhotoEntry], preprocessing: Preprocessing) -> bool:
    """Try skipped photos again: their `identity` does not change when a disk comes back."""
    results = (pixels_or_error(entries[index], preprocessing) for index in cached.skipped)
    return any(not isinstance(result, DataError) for result in results)


def _write(path: Path, entries: Sequence[PhotoEntry], preprocessing: Preprocessing, progress: Progress) -> None:
    try:
        with atomic_writer(path) as stream:
            _write_header(stream, 0, preprocessing)
            sha256, skipped = decode(entries, preprocessing, stream, progress)
            _write_header(stream, len(entries) - len(skipped), preprocessing)
        record = {"pixels_sha256": sha256, "skipped": skipped}
        write_atomically(path.with_suffix(".json"), json.dumps(record).encode())
    except OSError as error:
        megabytes = len(entries) * math.prod(pixel_shape(preprocessing)) / 1e6
        is_full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        raise DataError(
            f"cannot write {len(entries):,} decoded photos ({megabytes:,.0f} MB) to {path.parent}: "
            f"{error.strerror or error}; {'free some space there or ' if is_full else ''}give another folder"
        ) from error


def _write_header(stream: BinaryIO, photos: int, preprocessing: Preprocessing) -> None:
    """Write the `.npy` header, whose length, due to padding, does not depend on `photos`."""
    shape = (photos, *pixel_shape(preprocessing))
    stream.seek(0)
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
