"""Reader of idx files, gzipped or not. The files are untrusted.

Layout: two zero bytes; the type of the values (8: unsigned bytes); the number of dimensions; each dimension as a
big-endian uint32; the values in row-major order.

Source: LeCun, Cortes & Burges, "The MNIST database of handwritten digits".
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compress.errors import DataError

_GZIP_MAGIC = b"\x1f\x8b"

_MAX_DEFLATE_RATIO = 1032
"""Maximum bytes from one deflated byte."""


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read an idx file of bytes; gzip is detected by content.

    Raises:
        DataError: the header or the length is wrong, a dimension is 0, or the file cannot be read or decompressed.
    """
    try:
        with path.open("rb") as file:
            zipped = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        with gzip.open(path) if zipped else path.open("rb") as stream:
            shape = _read_shape(path, stream.read(4 + 4 * dimensions), dimensions)
            expected, limit = math.prod(shape), path.stat().st_size * (_MAX_DEFLATE_RATIO if zipped else 1)
            if zipped and expected > limit:  # do not decompress a file that cannot be right
                raise _wrong_length(path, shape, f"at most {limit:,}")
            values = stream.read(min(expected, limit) + 1)  # the last byte makes gzip check its CRC
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(values) != expected:
        raise _wrong_length(path, shape, f"more than {expected:,}" if len(values) > expected else f"{len(values):,}")
    return np.frombuffer(values, np.uint8).reshape(shape)


def _read_shape(path: Path, header: bytes, dimensions: int) -> tuple[int, ...]:
    magic = bytes([0, 0, 8, dimensions])
    if header[:4] != magic:
        raise DataError(
            f"{path}: begins with {header[:4].hex(' ') or 'nothing'}; an idx file of bytes with {dimensions} dimension"
            f"{'s' if dimensions > 1 else ''} begins with {magic.hex(' ')}"
        )
    if len(header) != 4 + 4 * dimensions:
        raise DataError(f"{path}: ends after {len(header)} bytes, inside the header")
    shape = tuple(int(side) for side in np.frombuffer(header, ">u4", offset=4))
    if 0 in shape:
        raise DataError(f"{path}: is empty: the header says {_format_shape(shape)}")
    return shape


def _wrong_length(path: Path, shape: tuple[int, ...], holds: str) -> DataError:
    said = f"{_format_shape(shape)}, {math.prod(shape):,} bytes"
    return DataError(f"{path}: the header says {said}; the file holds {holds}")


def _format_shape(shape: tuple[int, ...]) -> str:
    return " x ".join(f"{side:,}" for side in shape)
