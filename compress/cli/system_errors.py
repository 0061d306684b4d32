"""Errors of the operating system, such as a full disk, in a user's words."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from pathlib import Path

_FREE = "free some space there, or choose another folder"
_REMEDIES = {errno.ENOSPC: _FREE, errno.EDQUOT: _FREE, errno.EROFS: "choose another folder"}


_NO_MEMORY = re.compile("out of memory|can't allocate memory|not enough memory", re.IGNORECASE)
"""Words in torch's messages on a GPU, on Linux and on Windows."""


def system_error_message(error: OSError) -> str:
    """Return the place and the reason of an error, and the remedy where it is known."""
    if not _has_working_directory():
        return "the working directory was deleted; change to a folder that exists, and start again"
    reason = error.strerror or str(error)
    place = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    if (remedy := _REMEDIES.get(error.errno or 0)) is None:
        return f"{place}{reason}"
    # Files that a command writes are named: the rest is its output, or a temporary file of a library.
    place = place or f"cannot write the output, or a temporary file in {tempfile.gettempdir()}: "
    return f"{place}{reason}; {remedy}"


def memory_message(error: BaseException) -> str | None:
    """Return the remedy if an error, or what caused it, is a lack of memory; None otherwise.

    A network that runs out of memory fails as one whose code is wrong.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError) or (isinstance(cause, RuntimeError) and _NO_MEMORY.search(str(cause))):
            reason = f" ({first})" if (first := str(cause).partition("\n")[0]) else ""
            return (
                f"out of memory{reason}; close other programs, take a smaller 'batch' of distill and train or a lower "
                "--memory, or, if it is a GPU's, --device cpu"
            )
        cause = cause.__cause__
    return None


def _has_working_directory() -> bool:
    try:
        return Path.cwd().exists()
    except OSError:
        return False
