"""Freed memory, which the C library may keep for later."""

from __future__ import annotations

import ctypes
import sys


def release_free_memory() -> None:
    """Return freed memory to the system, where the C library can: glibc."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)
