"""A run on several processes: the results of one process, one file, and an error when a process dies."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from distributed_worker import results

from compress import container
from compress.runtime.distributed import SINGLE_PROCESS, ProcessGroup

TESTS = Path(__file__).parents[1]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
PIPELINE = """\
model: {factory: "user_networks:FACTORY", input_size: 32, resize: squash}
data:
  calibration: {source: digits, limit: 60}
  validation: {source: digits, limit: 110}
stages:
  - {pass: train, epochs: EPOCHS, batch: 20, learning_rate: 0.003, flip: false, validation_split: 0}
  - {pass: share, bits: 4, importance: fisher}
"""


def environment(**more: str) -> dict[str, str]:
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **more}


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Results of two processes."""
    folder = tmp_path_factory.mktemp("two")
    done = subprocess.run(
        [*TORCHRUN, str(TESTS / "distributed_worker.py"), str(folder)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [dict(np.load(folder / f"{rank}.npz")) for rank in range(2)]


@pytest.fixture(scope="module")
def one():
    """Results of a single process."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield results(SINGLE_PROCESS)
    torch.set_num_threads(threads)


def test_statistics_and_validation_agree_with_one_process(one, two):
    for name, found in one.items():
        if name.startswith("statistics"):
            np.testing.assert_allclose(two[0][name], found, rtol=1e-3, atol=1e-5 * np.abs(found).max(), err_msg=name)
    np.testing.assert_array_equal(two[0]["logits"], one["logits"])


def test_training_agrees_with_one_process(one, two):
    differences = []
    for name, found in one.items():
        if name.startswith("trained"):
            np.testing.assert_allclose(two[0][name], found, rtol=1e-3, atol=1e-4, err_msg=name)
        if name.startswith("distilled"):  # Adam turns rounding in a gradient near zero into a whole step
            differences.append(np.abs(two[0][name] - found).ravel())
            assert np.median(differences[-1]) < 2e-5, name
    assert np.concatenate(differences).mean() < 1e-5


def test_layers_that_processes_share_agree_with_one_process(one, two):
    """Rounding of the statistics moves few weights to the next level."""
    for name, found in one.items():
        if name.startswith("quantized"):
            assert np.mean(np.abs(two[0][name] - found) > 1e-3 * np.abs(found).max()) < 0.05, name


def test_all_processes_have_the_same_weights(two):
    assert two[0]["weights"].tolist() == two[1]["weights"].tolist()
    for name, found in two[0].items():
        if name.startswith("norms"):  # batch norms see each process' own photos
            np.testing.assert_array_equal(two[1][name], found, err_msg=name)
            assert np.isfinite(found).all()


THREADS_AT_THE_END = """
from pathlib import Path
import torch
from compress.runtime.distributed import join_process_group
with join_process_group(torch.device("cpu")) as processes:
    import torch.distributed.nn.functional
    processes.broadcast(0)
threads = [task.read_text() for task in Path("/proc/self/task").glob("*/comm")]
assert not [name for name in threads if "gloo" in name], threads
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="Linux lists threads there")
def test_no_thread_of_the_process_group_is_left_at_the_end_which_may_abort(tmp_path):
    (tmp_path / "worker.py").write_text(THREADS_AT_THE_END)
    command = [*TORCHRUN, str(tmp_path / "worker.py")]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_torchrun_runs_a_pipeline_and_writes_its_file_once(tmp_path):
    (tmp_path / "p.yaml").write_text(PIPELINE.replace("FACTORY", "mobilenet").replace("EPOCHS", "2"))
    command = [*TORCHRUN, "-m", "compress", "run", "p.yaml", "--device", "cpu"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("model:") == 1
    assert container.read(tmp_path / "out" / "p" / "model.sqz").classes == 10


def test_processes_share_statistics_without_a_cache(tmp_path):
    head = PIPELINE.partition("  - {pass: train")[0].replace("FACTORY", "mobilenet").replace("110", "20")
    stage = "  - {pass: share, lambda: 1.0e-4, sensitivity_photos: 0, iterations: 1}\n"
    (tmp_path / "p.yaml").write_text(head + stage)
    command = [*TORCHRUN, "-m", "compress", "run", "p.yaml", "--fresh", "--device", "cpu"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "p" / "model.sqz").exists()
    assert not (tmp_path / "out" / "p" / "cache").exists()


def test_a_process_that_dies_ends_the_run(tmp_path):
    (tmp_path / "p.yaml").write_text(PIPELINE.replace("FACTORY", "KilledNetwork").replace("EPOCHS", "20"))
    command = [sys.executable, "-m", "compress", "run", "p.yaml", "--device", "cpu"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    store = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    both = [
        subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environment(RANK=rank, LOCAL_RANK=rank, **store),
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    errors = both[0].communicate(timeout=120)[1]  # it ends without a signal
    assert both[1].wait(timeout=10) == -9
    assert both[0].returncode == 1
    assert "cannot reach another process of this run" in errors
    assert "if that one printed an error, mend its cause; if not, run the same command again" in errors
    assert not (tmp_path / "out" / "p" / "model.sqz").exists()


def test_shards_cover_everything_once():
    for world_size in (1, 2, 3, 7):
        items = np.arange(10)
        shards = [items[ProcessGroup(rank, world_size).shard(10)] for rank in range(world_size)]
        np.testing.assert_array_equal(np.concatenate(shards), items)
        assert max(map(len, shards)) - min(map(len, shards)) <= 1
