"""Arrays in unnamed files on disk, whose memory can be released while they are not in use."""

from __future__ import annotations

import mmap
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", bound=np.generic)


def mapped(array: NDArray[Number], folder: Path | None) -> NDArray[Number]:
    """Return a copy of an array, not empty, in a file that the system removes with the copy.

    Args:
        array: to copy.
        folder: of the file; None: the system's for temporary files.
    Raises:
        OSError: the disk is full, or the folder is not writable.
    """
    with TemporaryFile(dir=folder) as file:
        file.write(np.ascontiguousarray(array).data)  # reserves the space, so that a full disk is an error here
        file.flush()
        return np.ndarray(array.shape, array.dtype, mmap.mmap(file.fileno(), array.nbytes))


def release_pages(array: NDArray[Any]) -> None:
    """Release the memory of an array in a shared map of a file: its next use reads the file.

    Does nothing for arrays in memory. Changes of a copy-on-write map would be lost.
    """
    owner: object = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):  # Windows has none
        owner.madvise(mmap.MADV_DONTNEED)
