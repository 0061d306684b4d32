"""Decoded photos kept on disk, so that the next run need not decode them again.

A store is a folder. For each set of photos it holds `<key>.npy`, the pixels, and `<key>.json`, their digest and which
photos could not be read. The key is a hash of all that decides the pixels. Both files are renamed into place when they
are complete, the `.json` last: without it the pixels do not count.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import PIL
from numpy.typing import NDArray

from compress.data.decoding import Entry, Progress, decode, pixel_shape, pixels_or_error
from compress.errors import DataError
from compress.model import Preprocessing
from compress.runtime.atomic_files import write_atomically

STORE_VERSION = 1
"""Raised when the same photos and options would give other pixels than before."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """Pixels of the readable photos, their digest, and by position why others were skipped."""

    pixels: NDArray[np.uint8]
    digest: str
    skipped: dict[int, str]


def decoded_in(
    store: Path, entries: Sequence[Entry], preprocessing: Preprocessing, progress: Progress | None
) -> Decoded:
    """Return the photos as the store has them, as a memory map, after decoding them into it if it has not.

    Raises:
        DataError: the store cannot be written or read.
    """
    path = store / f"{_key(entries, preprocessing)}.npy"
    found = _read(path, entries)
    if found is None or _some_now_readable(found, entries, preprocessing):
        try:
            _write(path, entries, preprocessing, progress)
        except OSError as error:
            megabytes = len(entries) * math.prod(pixel_shape(preprocessing)) / 1e6
            raise DataError(
                f"cannot keep {len(entries):,} decoded photos ({megabytes:,.0f} MB) in {store}: "
                f"{error.strerror or error}; free some space there or give another folder"
            ) from error
        found = _read(path, entries)
    if found is None:
        raise DataError(f"decoded photos written to {store} cannot be read back; give another folder")
    return found


def _key(entries: Sequence[Entry], preprocessing: Preprocessing) -> str:
    decisive = [
        STORE_VERSION,
        PIL.__version__,
        pixel_shape(preprocessing),
        preprocessing.resize,
        preprocessing.short_side,
    ]
    digest = hashlib.sha256(json.dumps(decisive).encode())
    for entry in entries:
        digest.update(json.dumps(entry.identity).encode())
    return digest.hexdigest()


def _read(path: Path, entries: Sequence[Entry]) -> Decoded | None:
    """Return what the store has, or None where it has nothing whole."""
    try:
        about = json.loads(path.with_suffix(".json").read_text("utf-8"))
        pixels = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    skipped = {int(index): reason for index, reason in about["skipped"].items()}
    if len(pixels) + len(skipped) != len(entries):
        return None
    return Decoded(pixels, about["pixels_sha256"], skipped)


def _some_now_readable(found: Decoded, entries: Sequence[Entry], preprocessing: Preprocessing) -> bool:
    """Try the skipped photos again: a disk that was away or a missing permission leaves no trace in `identity`."""
    again = (pixels_or_error(entries[index], preprocessing) for index in found.skipped)
    return not all(isinstance(result, DataError) for result in again)


def _write(path: Path, entries: Sequence[Entry], preprocessing: Preprocessing, progress: Progress | None) -> None:
    with _renamed_when_whole(path) as stream:
        _write_header(stream, 0, preprocessing)
        digest, skipped = decode(entries, preprocessing, stream, progress)
        _write_header(stream, len(entries) - len(skipped), preprocessing)
    about = {"pixels_sha256": digest, "skipped": skipped}
    write_atomically(path.with_suffix(".json"), json.dumps(about).encode())


def _write_header(stream: BinaryIO, photos: int, preprocessing: Preprocessing) -> None:
    """Write the `.npy` header at the start; numpy pads it so that a larger first dimension takes no more bytes."""
    shape = (photos, *pixel_shape(preprocessing))
    stream.seek(0)
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})


@contextmanager
def _renamed_when_whole(path: Path) -> Iterator[BinaryIO]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
