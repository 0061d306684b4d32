"""The memory that a run may use: half of the machine's, or of its container's."""

from __future__ import annotations

import psutil
import pytest

from compress.runtime.memory import default_memory_bytes, machine_memory_bytes


@pytest.fixture
def file_system(tmp_path):
    """A root folder with the files of control groups, given by path."""

    def make(files):
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        return tmp_path

    return make


@pytest.mark.parametrize(
    "files",
    [
        {
            "proc/self/cgroup": "0::/a/b\n",
            "sys/fs/cgroup/a/memory.max": "3000\n",
            "sys/fs/cgroup/a/b/memory.max": "max",
        },
        {"proc/self/cgroup": "0::/outside\n", "sys/fs/cgroup/memory.max": "3000\n"},
        {"proc/self/cgroup": "4:cpu,memory:/a\n0::/\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "3000\n"},
    ],
    ids=["a group around it", "a path outside the container", "version 1"],
)
def test_the_limit_of_a_control_group_counts(file_system, files):
    assert machine_memory_bytes(file_system(files)) == 3000


def test_without_a_limit_the_memory_of_the_machine_counts(file_system):
    no_limit = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}
    assert machine_memory_bytes(file_system(no_limit)) == psutil.virtual_memory().total


def test_the_processes_of_a_machine_share_the_default(monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert default_memory_bytes() == machine_memory_bytes() // 2 // 4
