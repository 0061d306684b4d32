"""Temporary folders, and the removal of those that killed processes left.

A killed process cannot remove its folder, so the next process does. A folder is in use while its process holds the lock
of the file in it.
"""

from __future__ import annotations

import os
import platform
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_PREFIX = "squeeze-compress-"
_LOCK = ".lock"


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a new folder in the system's temporary directory, which is removed at the end of the block.

    First remove the abandoned folders of this user on this machine.
    """
    if fcntl is not None:
        for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
            with suppress(OSError):
                _remove_if_abandoned(folder)
    with ExitStack() as lock, tempfile.TemporaryDirectory(prefix=_PREFIX) as name:
        if fcntl is not None:
            with suppress(OSError):  # without a lock, nobody else removes the folder
                lock.callback(os.close, _lock(Path(name)))
        yield Path(name)


def _lock(folder: Path) -> int:
    """Make a locked file in a folder; return its handle. The file is locked before it has its name."""
    unlocked = folder / f"{_LOCK}.new"
    handle = os.open(unlocked, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(handle, platform.node().encode())
        unlocked.rename(folder / _LOCK)
    except OSError:
        os.close(handle)
        raise
    return handle


def _remove_if_abandoned(folder: Path) -> None:
    """Remove a folder of this user whose lock is free.

    Raises:
        OSError: somebody holds the lock, or there is none.
    """
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        return
    handle = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Some network file systems lock for one machine only.
        if os.read(handle, 1000) == platform.node().encode():
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(handle)
