"""Reading idx files, gzipped or not, that anybody may have written.

The layout: two zero bytes, one for the type of the values (8: unsigned bytes), one for the number of dimensions; each
dimension as four bytes, the most significant first; then the values, in row-major order, to the end of the file.

Source: LeCun, Cortes & Burges, "The MNIST database of handwritten digits".
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from compress.errors import DataError

_GZIP = b"\x1f\x8b"

_LARGEST_RATIO = 1032
"""Deflate makes no byte of more than so many: a gzipped file that claims to hold more does not."""

_AT_ONCE = 1 << 20


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Return the values of an idx file of bytes, as a memory map; what is gzipped is unpacked into a temporary file.

    Args:
        path: the file; whether it is gzipped is told by its first bytes, not by its name.
        dimensions: how many it is to have.
    Returns:
        the shape that the file says, none of it 0.
    Raises:
        DataError: it is no such file, it holds less or more than it says, or it cannot be read or unpacked.
    """
    try:
        with path.open("rb") as file:
            zipped = file.read(len(_GZIP)) == _GZIP
            file.seek(0)
            if not zipped:
                return _mapped(path, file, dimensions)
            with gzip.open(file) as stream, TemporaryFile() as room:
                shape = _shape(path, stream.read(4 + 4 * dimensions), dimensions)
                _check_length(path, shape, path.stat().st_size * _LARGEST_RATIO, exact=False)
                _check_length(path, shape, _copy(stream, room, math.prod(shape) + 1), exact=True)
                return np.memmap(room, np.uint8, "r", shape=shape)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _mapped(path: Path, file: BinaryIO, dimensions: int) -> NDArray[np.uint8]:
    head = file.read(4 + 4 * dimensions)
    shape = _shape(path, head, dimensions)
    _check_length(path, shape, path.stat().st_size - len(head), exact=True)
    return np.memmap(file, np.uint8, "r", len(head), shape)


def _shape(path: Path, head: bytes, dimensions: int) -> tuple[int, ...]:
    wanted = bytes([0, 0, 8, dimensions])
    if head[:4] != wanted:
        raise DataError(
            f"{path}: it begins with {head[:4].hex(' ') or 'nothing'}; an idx file of bytes in {dimensions} dimension"
            f"{'s' if dimensions > 1 else ''} begins with {wanted.hex(' ')}"
        )
    if len(head) != 4 + 4 * dimensions:
        raise DataError(f"{path}: it ends after {len(head)} bytes, within its header")
    shape = tuple(int(side) for side in np.frombuffer(head, ">u4", offset=4))
    if 0 in shape:
        raise DataError(f"{path}: it says that it is empty, {_sides(shape)}")
    return shape


def _check_length(path: Path, shape: tuple[int, ...], there: int, *, exact: bool) -> None:
    said = math.prod(shape)
    if there < said or (exact and there > said):
        how_many = "at most " if there < said and not exact else "more than " if there > said else ""
        shown = min(there, said) if there > said else there
        raise DataError(f"{path}: it says {_sides(shape)}, {said:,} bytes, and holds {how_many}{shown:,}")


def _copy(stream: gzip.GzipFile, room: BinaryIO, most: int) -> int:
    """Copy `most` bytes, or all there are; return how many. Reading to the end checks what gzip has to check."""
    done = 0
    while done < most and (part := stream.read(min(_AT_ONCE, most - done))):
        room.write(part)
        done += len(part)
    room.flush()
    return done


def _sides(shape: tuple[int, ...]) -> str:
    return " x ".join(f"{side:,}" for side in shape)
