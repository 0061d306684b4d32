"""Errors of the operating system, such as a full disk, in a user's words."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

_FULL = {errno.ENOSPC, errno.EDQUOT}


def system_error_message(error: OSError) -> str:
    """Return the place and the reason of an error, and the remedy where it is known."""
    if not _has_working_directory():
        return "the working directory was deleted; change to a folder that exists, and start again"
    reason = error.strerror or str(error)
    place = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    if error.errno not in _FULL:
        return f"{place}{reason}"
    # Files that a command writes are named: the rest is its output, or a temporary file of a library.
    place = place or f"cannot write the output, or a temporary file in {tempfile.gettempdir()}: "
    return f"{place}{reason}; free some space there, or choose another folder"


def _has_working_directory() -> bool:
    try:
        return Path.cwd().exists()
    except OSError:
        return False
