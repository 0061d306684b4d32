"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to `path` with `atomic_writer`."""
    with atomic_writer(path) as stream:
        stream.write(data)


def write_files_atomically(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Write files, by their paths in the folder, which belong together; return the sorted paths.

    Raises:
        OSError: a file cannot be written; all old files are unchanged.
    """
    check_writable(folder, files)
    with ExitStack() as written:
        for name, data in files.items():
            stream = written.enter_context(atomic_writer(folder / name))
            stream.write(data)
            _sync(stream)  # a full disk shows here, before any file is replaced
    return sorted(folder / name for name in files)


def check_writable(folder: Path, names: Iterable[str]) -> None:
    """Check that files of these names can be written into a folder, which is made if it is missing.

    Raises:
        OSError: they cannot; names the folder, or what has the place of a file.
    """
    _make_folder(folder)
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as probe:
            probe.write(b"0")
    except OSError as error:
        error.filename = str(folder)
        raise
    for file in (folder / name for name in names):
        if file.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder, and a file of this name would be written", str(file))


@contextmanager
def atomic_writer(path: Path) -> Iterator[BinaryIO]:
    """Yield a seekable binary file that replaces `path` when the block ends without an error.

    The data goes to a temporary file in the same folder, which is synced to disk and renamed. After an error or an
    interruption, it is removed, and the old file is unchanged. A link stays, and its target is replaced. A device or a
    pipe, such as /dev/stdout, is written to.

    Args:
        path: the file; missing folders are created.
    Raises:
        OSError: the file cannot be written; names it.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        with path.open("wb") as stream:
            yield stream
        return
    if path.is_symlink():
        path = path.resolve()
    _make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as stream:
            yield stream
            _sync(stream)
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):  # the folder may be gone
            temporary.unlink()
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            error.filename = str(path)
        raise
    _sync_folder(path.parent)


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Let one process at a time into the block, for the same folder; on Windows, let all in.

    Args:
        folder: is made if it is missing. The lock leaves no file in it.
    """
    _make_folder(folder)
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, "is a file, not a folder", str(folder)) from error


def _sync(stream: BinaryIO) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the rename durable, where the system can.

    Windows cannot open a folder, and folders shared with a virtual machine or over SMB may not be synced. The file is
    whole in any case.
    """
    if os.name == "posix":
        with suppress(OSError):
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
