"""Memory of the machine and of this process."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

_CGROUP_FILES = {"": ("", "memory.max"), "memory": ("memory", "memory.limit_in_bytes")}
"""Folder and file of the memory limit by controller, in version 2 and 1 of Linux' control groups."""


def default_memory_bytes() -> int:
    """Return half of the memory that the machine has, or that its container may use, for all processes of `torchrun`.

    The processes of one machine get equal parts.
    """
    return machine_memory_bytes() // 2 // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def machine_memory_bytes(root: Path = Path("/")) -> int:
    """Return the memory of the machine, or the lower limit of a control group, such as a container's.

    Args:
        root: of the file system with `proc` and `sys`.
    """
    return min(psutil.virtual_memory().total, *_cgroup_limits(root), sys.maxsize)


def resident_bytes() -> int:
    """Return the resident memory of this process."""
    resident: int = psutil.Process().memory_info().rss
    return resident


def release_free_memory() -> None:
    """Return freed memory to the system, where the C library can: glibc."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)


def _cgroup_limits(root: Path) -> Iterator[int]:
    """Yield the limits of this process' control group and of those around it."""
    with suppress(OSError):  # only Linux has this file
        for line in (root / "proc/self/cgroup").read_text("ascii").splitlines():
            _, controllers, path = line.split(":", 2)
            for controller in _CGROUP_FILES.keys() & controllers.split(","):
                folder, file = _CGROUP_FILES[controller]
                group = root / "sys/fs/cgroup" / folder / path.lstrip("/")
                for each in (group, *group.parents):
                    with suppress(OSError, ValueError):  # the file is missing, or says `max`
                        yield int((each / file).read_text("ascii"))
