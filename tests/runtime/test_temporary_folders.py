"""A killed process leaves a temporary folder only until the next one starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from compress.runtime.temporary_folders import temporary_folder

posix = pytest.mark.skipif(os.name != "posix", reason="locks of POSIX")
ROOT = Path(__file__).parents[2]
OWNER = """
import sys
from compress.runtime.temporary_folders import temporary_folder
with temporary_folder() as folder:
    (folder / "large").write_bytes(b"x")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _own_temporary_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)


def start_owner():
    """Start a process that uses a temporary folder until its stdin ends; return the process and the folder."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    owner = subprocess.Popen([sys.executable, "-c", OWNER], cwd=ROOT, **pipes)
    return owner, Path(owner.stdout.readline().strip())


def killed_owner():
    """Return the folder that a killed process left."""
    owner, folder = start_owner()
    with owner:
        owner.send_signal(signal.SIGKILL)
    assert (folder / "large").exists()
    return folder


def test_a_folder_is_removed_at_the_end(tmp_path):
    with temporary_folder() as folder:
        (folder / "file").write_bytes(b"x")
        assert folder.parent == tmp_path
    assert not list(tmp_path.iterdir())


@posix
def test_the_folder_of_a_killed_process_is_removed_by_the_next(tmp_path):
    folder = killed_owner()
    with temporary_folder() as own:
        assert list(tmp_path.iterdir()) == [own]
    assert not folder.exists()


@posix
def test_the_folder_of_a_living_process_stays():
    owner, folder = start_owner()
    with owner:
        with temporary_folder() as own, temporary_folder() as another:
            assert own.exists()
            assert another.exists()
            assert (folder / "large").exists()
        owner.stdin.close()
        assert owner.wait() == 0
    assert not folder.exists()


@posix
def test_a_folder_that_may_be_in_use_stays(tmp_path):
    on_another_machine = killed_owner()
    (on_another_machine / ".lock").write_text("another machine")
    without_lock = tmp_path / "squeeze-compress-0"
    without_lock.mkdir()
    link = tmp_path / "squeeze-compress-1"
    link.symlink_to(killed_owner())
    with temporary_folder():
        assert on_another_machine.exists()
        assert without_lock.exists()
        assert link.is_symlink()


@posix
@pytest.mark.skipif(os.name == "posix" and os.getuid() != 0, reason="only root gives files away")
def test_the_folder_of_another_user_stays():
    folder = killed_owner()
    os.chown(folder, 12345, -1)
    with temporary_folder():
        assert folder.exists()
