from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from compress.runtime.atomic_files import (
    atomic_writer,
    check_writable,
    locked_folder,
    write_atomically,
    write_files_atomically,
)

posix = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX")
ROOT = Path(__file__).parents[2]
SMALL_DISK = "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(NotADirectoryError, match="is a file, not a folder") as caught:
        write_atomically(tmp_path / "file/new", b"")
    assert caught.value.filename == str(tmp_path / "file")
    with pytest.raises(NotADirectoryError, match="is a file, not a folder"), locked_folder(tmp_path / "file"):
        pass
    assert (tmp_path / "file").read_text() == "mine"


def write_in_subprocess(path, before):
    """Execute lines of Python, then write b"new" * 100,000 to `path`, in a subprocess."""
    code = f"""
import os, signal, resource, pathlib
from compress.runtime.atomic_files import write_atomically
{before}
write_atomically(pathlib.Path({str(path)!r}), b"new" * 100_000)
"""
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


def kill_at(call, count):
    """Lines that make a process kill itself in the `count`th call of a function of `os`."""
    return f"""
left, real = {count}, os.{call}
def deadly(*arguments, **options):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **options)
os.{call} = deadly
"""


def test_the_file_has_the_new_data_and_no_temporary_file_remains(tmp_path):
    path = tmp_path / "model.sqz"
    write_atomically(path, b"old, and longer")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert [file.name for file in tmp_path.iterdir()] == ["model.sqz"]


def test_missing_folders_are_created(tmp_path):
    write_atomically(tmp_path / "a" / "b" / "model.sqz", b"")
    assert (tmp_path / "a" / "b" / "model.sqz").read_bytes() == b""


@posix
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_permissions_follow_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "file", b"")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_after_a_write_error_the_old_file_remains_and_no_temporary_file(tmp_path):
    path = tmp_path / "model.sqz"
    path.write_bytes(b"old")
    with pytest.raises(TypeError):
        write_atomically(path, "not bytes")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["model.sqz"]


def test_an_interrupted_writer_leaves_the_old_file_and_no_temporary_file(tmp_path):
    path = tmp_path / "model.sqz"
    path.write_bytes(b"old")

    def interrupt():
        with atomic_writer(path) as stream:
            stream.write(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["model.sqz"]


def test_after_a_rename_error_no_temporary_file_remains(tmp_path):
    folder = tmp_path / "model.sqz"
    (folder / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match=r"model\.sqz"):
        write_atomically(folder, b"new")
    assert [file.name for file in tmp_path.iterdir()] == ["model.sqz"]


@posix
def test_after_a_full_disk_the_old_file_remains_and_no_temporary_file(tmp_path):
    path = tmp_path / "model.sqz"
    path.write_bytes(b"old")
    done = write_in_subprocess(path, SMALL_DISK)
    assert f"OSError: [Errno 27] File too large: '{path}'" in done.stderr
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["model.sqz"]


@posix
def test_of_files_that_belong_together_none_is_replaced_if_one_cannot_be_written(tmp_path):
    old = {"model.sqz": b"old", "report.html": b"old page"}
    write_files_atomically(tmp_path, old)
    before = f"""
from compress.runtime.atomic_files import write_files_atomically
{SMALL_DISK}
write_files_atomically(pathlib.Path({str(tmp_path)!r}), {{"model.sqz": b"new", "report.html": b"new" * 100_000}})
"""
    done = write_in_subprocess(tmp_path / "unwritten", before)
    assert "report.html" in done.stderr
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == old


def test_of_files_that_belong_together_none_is_replaced_if_a_folder_has_the_name_of_one(tmp_path):
    (tmp_path / "report.html").write_bytes(b"old page")
    (tmp_path / "model.sqz").mkdir()
    with pytest.raises(IsADirectoryError, match="a file of this name would be written"):
        write_files_atomically(tmp_path, {"model.sqz": b"new", "report.html": b"new page", "runtime/sqz.c": b"new"})
    assert (tmp_path / "report.html").read_bytes() == b"old page"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.sqz", "report.html"]


@posix
@pytest.mark.parametrize(
    ("call", "count", "content"),
    [
        ("fsync", 1, b"old"),  # written, not yet synced
        ("replace", 1, b"old"),
        ("fsync", 2, b"new" * 100_000),  # renamed, the folder not yet synced
    ],
)
def test_a_killed_process_leaves_the_old_file_or_the_whole_new_file(tmp_path, call, count, content):
    path = tmp_path / "model.sqz"
    path.write_bytes(b"old")
    done = write_in_subprocess(path, kill_at(call, count))
    assert done.returncode == -9, done.stderr
    assert path.read_bytes() == content


@posix
@posix
def test_a_device_and_a_pipe_are_written_to_and_a_link_stays(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE)
    write_atomically(tmp_path / "pipe", b"through")
    assert reader.communicate(timeout=20)[0] == b"through"
    assert (tmp_path / "pipe").is_fifo()
    (tmp_path / "shown").symlink_to("/dev/stdout")
    assert write_in_subprocess(tmp_path / "shown", "").stdout == "new" * 100_000
    (tmp_path / "link").symlink_to("target")
    write_atomically(tmp_path / "link", b"data")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"data"


def test_what_is_in_the_way_of_files_is_found_before_they_are_written(tmp_path):
    check_writable(tmp_path / "new" / "out", ["model.sqz"])
    assert list((tmp_path / "new" / "out").iterdir()) == []
    (tmp_path / "new" / "out" / "model.sqz").mkdir()
    with pytest.raises(IsADirectoryError, match=r"is a folder.*out/model\.sqz"):
        check_writable(tmp_path / "new" / "out", ["report.html", "model.sqz"])
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="file"):
        check_writable(tmp_path / "file" / "out", ["model.sqz"])
    with pytest.raises(OSError, match="/proc/self"):
        check_writable(Path("/proc/self"), [])


def test_a_locked_folder_is_locked_for_other_processes_and_free_afterwards(tmp_path):
    try_lock = f"""
import fcntl, os
fcntl.flock(os.open({str(tmp_path)!r}, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
"""

    def is_free():
        return subprocess.run([sys.executable, "-c", try_lock], stderr=subprocess.DEVNULL, check=False).returncode == 0

    with locked_folder(tmp_path):
        assert not is_free()
    assert is_free()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_synced_is_no_error(tmp_path, monkeypatch):
    """As those that a virtual machine shares: fsync gives EINVAL for a folder, and works for files."""
    sync = os.fsync

    def sync_files(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(handle)

    monkeypatch.setattr(os, "fsync", sync_files)
    write_atomically(tmp_path / "model.sqz", b"weights")
    assert (tmp_path / "model.sqz").read_bytes() == b"weights"
    assert len(list(tmp_path.iterdir())) == 1
