"""Errors of the operating system name the place, the reason and the remedy; none is a traceback."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from compress.cli.main import main
from compress.cli.system_errors import memory_message, system_error_message
from compress.errors import DataError

posix = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="devices of Linux")  # noqa: PTH110


ROOT = Path(__file__).parents[2]


def full_disk(*names):
    return OSError(errno.ENOSPC, "No space left on device", *names)


@pytest.mark.parametrize("name", ["out/model.sqz", b"out/model.sqz"])
def test_a_full_disk_is_named_with_the_remedy(name):
    message = "out/model.sqz: No space left on device; free some space there, or choose another folder"
    assert system_error_message(full_disk(name)) == message


def test_without_a_file_it_is_the_output_or_a_temporary_file(monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", "/scratch")
    assert system_error_message(full_disk()).startswith(
        "cannot write the output, or a temporary file in /scratch: No space left on device; free some space"
    )


def test_a_read_only_folder_is_named_with_the_remedy():
    error = OSError(errno.EROFS, "Read-only file system", "out")
    assert system_error_message(error) == "out: Read-only file system; choose another folder"


def test_other_errors_have_file_and_reason():
    assert system_error_message(PermissionError(13, "Permission denied", "a.sqz")) == "a.sqz: Permission denied"
    assert system_error_message(OSError("no reason")) == "no reason"


def test_a_deleted_working_directory_is_told_before_what_fails_in_it(tmp_path, monkeypatch):
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert "the working directory was deleted; change to a folder" in system_error_message(full_disk("out/model.sqz"))


LINUX = "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), ""),
        (RuntimeError(f"{LINUX}\nException raised from"), f" ({LINUX})"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), " (CUDA out of memory. Tried to allocate 2 GiB)"),
    ],
)
def test_a_lack_of_memory_is_told_whatever_it_made_fail(monkeypatch, error, reason):
    def fail(*_):
        try:
            raise error
        except Exception as cause:
            raise DataError("the network fails on 50 photos") from cause

    for failing in (fail, lambda *_: (_ for _ in ()).throw(error)):
        monkeypatch.setattr("compress.cli.main.builtin_pipelines", failing)
        done = CliRunner().invoke(main, ["pipelines"])
        assert done.exit_code == 1
        assert done.stderr.startswith(f"error: out of memory{reason}; close other programs, take a smaller 'batch'")


def test_other_errors_of_the_runtime_are_left():
    assert memory_message(RuntimeError("shape mismatch")) is None
    assert memory_message(DataError("no photos")) is None


@posix
def test_no_command_starts_in_a_deleted_working_directory(tmp_path):
    done = run("pipelines", cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, preexec_fn=tmp_path.rmdir)
    assert done.returncode == 1
    assert done.stderr == "error: the working directory was deleted; change to a folder that exists, and start again\n"


@posix
@pytest.mark.parametrize("arguments", ["--version", "run --help", "pipelines", "pipelines --json", "schema"])
def test_an_output_that_cannot_be_written_is_one_error(arguments):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = run(arguments, stdout=full)
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot write the output, or a temporary file in ")
    assert done.stderr.count("\n") == 1


@posix
def test_a_closed_output_is_no_error():
    done = run("pipelines", preexec_fn=lambda: os.close(1))
    assert (done.returncode, done.stderr) == (0, "")


def run(arguments, **options):
    command = [sys.executable, "-m", "compress", *arguments.split()]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, **options)
