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
from tempfile import TemporaryFile
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from compress.errors import DataError

_GZIP_MAGIC = b"\x1f\x8b"

_MAX_DEFLATE_RATIO = 1032
"""Most bytes that one deflate byte can decompress to."""

_CHUNK_BYTES = 1 << 20


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Return the values of an idx file of bytes as a memory map; a gzipped file is decompressed to a temporary file.

    Args:
        path: the file; gzip is detected by content.
        dimensions: expected number of dimensions.
    Returns:
        the shape in the header, with no dimension 0.
    Raises:
        DataError: the header is wrong, the length does not match it, or the file cannot be read or decompressed.
    """
    try:
        with path.open("rb") as file:
            zipped = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
            file.seek(0)
            if not zipped:
                return _map(path, file, dimensions)
            with gzip.open(file) as stream, TemporaryFile() as target:
                shape = _read_shape(path, stream.read(4 + 4 * dimensions), dimensions)
                _check_length(path, shape, path.stat().st_size * _MAX_DEFLATE_RATIO, exact=False)
                _check_length(path, shape, _copy(stream, target, math.prod(shape) + 1), exact=True)
                return np.memmap(target, np.uint8, "r", shape=shape)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _map(path: Path, file: BinaryIO, dimensions: int) -> NDArray[np.uint8]:
    header = file.read(4 + 4 * dimensions)
    shape = _read_shape(path, header, dimensions)
    _check_length(path, shape, path.stat().st_size - len(header), exact=True)
    return np.memmap(file, np.uint8, "r", len(header), shape)


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


def _check_length(path: Path, shape: tuple[int, ...], available: int, *, exact: bool) -> None:
    """Check the number of available bytes, or (not `exact`) its upper bound, against the header."""
    expected = math.prod(shape)
    if available > expected and exact:
        holds = f"more than {expected:,}"
    elif available < expected:
        holds = f"{available:,}" if exact else f"at most {available:,}"
    else:
        return
    raise DataError(f"{path}: the header says {_format_shape(shape)}, {expected:,} bytes; the file holds {holds}")


def _copy(stream: gzip.GzipFile, target: BinaryIO, max_bytes: int) -> int:
    """Copy at most `max_bytes`, and return the number copied. At the end of the stream, gzip checks its CRC."""
    copied = 0
    while copied < max_bytes and (chunk := stream.read(min(_CHUNK_BYTES, max_bytes - copied))):
        target.write(chunk)
        copied += len(chunk)
    target.flush()
    return copied


def _format_shape(shape: tuple[int, ...]) -> str:
    return " x ".join(f"{side:,}" for side in shape)
