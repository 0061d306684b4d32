"""The stage cache: a result is found if nothing that affects it has changed, and only then."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner
from small_models import LABELS, float_squeezenet

from compress import container
from compress.cli.main import main
from compress.configuration.config import read_pipeline
from compress.export import write_weights
from compress.passes import Share
from compress.pipeline import environment
from compress.pipeline.cache_listing import list_entries, remove_entries
from compress.pipeline.inputs import load_inputs
from compress.pipeline.stages import run_stages

PIPELINE = """\
model: {{source: checkpoint, path: {folder}/float.safetensors, architecture: squeezenet1_1, labels: {folder}/names.txt,
  input_size: 32, resize: squash}}
data:
  calibration: {{source: digits, limit: 2}}
  validation: {{source: digits, limit: 3}}
stages:
  - {{pass: prune, sparsity: 0.6}}
  - {{pass: share, bits: 3, kmeans_iterations: 1, init: k-means++}}
  - {{pass: distill, steps: 3, batch: 2}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cached")
    write_weights(float_squeezenet(), folder / "float.safetensors")
    (folder / "names.txt").write_text("\n".join(LABELS))
    (folder / "p.yaml").write_text(PIPELINE.format(folder=folder))
    assert go(folder, "first").exit_code == 0
    return folder


def go(folder, out, *options):
    command = ["run", folder / "p.yaml", "--out", folder / out, "--cache", folder / "cache", *options]
    return CliRunner().invoke(main, list(map(str, command)))


def go_to_last_stage(folder, *overrides):
    """Run the stages alone, and return the bytes of their file."""
    pipeline = read_pipeline(folder / "p.yaml", overrides)
    *_, last = run_stages(pipeline, load_inputs(pipeline, folder / "cache"))
    return container.encode(last.model, pipeline.encode.codecs)


def stages(folder):
    return {file.name for file in (folder / "cache").glob("stage-*.sqz")}


def stages_with_results(cache):
    """Return the names of the stages with a result, finished or being written."""
    return {json.loads(file.read_text())["stage"] for file in cache.glob("stage-*.json")}


def record_runs(monkeypatch):
    """Return a list to which each run of the pass `share` is appended."""
    ran, call = [], Share.__call__
    monkeypatch.setattr(Share, "__call__", lambda self, *given: ran.append(self.kind) or call(self, *given))
    return ran


def test_a_second_run_reads_every_stage_and_gives_the_same_bytes(folder, monkeypatch):
    ran, before = record_runs(monkeypatch), stages(folder)
    assert len(before) == 3
    assert go(folder, "second").exit_code == 0
    assert (ran, stages(folder)) == ([], before)
    assert (folder / "second/model.sqz").read_bytes() == (folder / "first/model.sqz").read_bytes()


def test_fresh_neither_reads_nor_writes_the_cache(folder, monkeypatch):
    ran = record_runs(monkeypatch)
    before = {file: file.stat().st_mtime_ns for file in (folder / "cache").iterdir()}
    assert go(folder, "fresh", "--fresh").exit_code == 0
    assert ran == ["share"]
    assert {file: file.stat().st_mtime_ns for file in (folder / "cache").iterdir()} == before
    assert (folder / "fresh/model.sqz").read_bytes() == (folder / "first/model.sqz").read_bytes()


@pytest.mark.parametrize(
    ("option", "new"),
    [("stages.distill.steps=4", 1), ("seed=9", 3)],
)
def test_a_change_reruns_from_the_first_affected_stage(folder, option, new):
    before = stages(folder)
    go_to_last_stage(folder, option)
    assert len(stages(folder) - before) == new


def test_other_photos_and_other_code_rerun_every_stage(folder, monkeypatch):
    before = stages(folder)
    go_to_last_stage(folder, "data.calibration.limit=3")
    assert len(stages(folder) - before) == 3
    before = stages(folder)
    monkeypatch.setattr(environment, "code_digest", lambda: "other code")
    go_to_last_stage(folder)
    assert len(stages(folder) - before) == 3


def test_a_damaged_result_is_computed_again(folder):
    results = sorted((folder / "cache").glob("stage-*.sqz"))
    for file in results:
        file.write_bytes(file.read_bytes()[:-3] + b"abc")
    assert go_to_last_stage(folder) == (folder / "first/model.sqz").read_bytes()
    assert sum(_sound(file) for file in results) == 3


def test_a_damaged_record_of_a_stage_is_computed_again(folder):
    for file, content in zip(sorted((folder / "cache").glob("stage-*.json")), ["null", "[]", "{}"], strict=False):
        file.write_text(content)
    assert CliRunner().invoke(main, ["cache", "list", str(folder / "cache")]).exit_code == 0
    assert go_to_last_stage(folder) == (folder / "first/model.sqz").read_bytes()


PERMUTED = """\
model: {{factory: "user_networks:three_convolutions", input_size: 16, resize: squash}}
data:
  calibration: {{source: digits, limit: 60}}
  validation: {{source: digits, limit: 20}}
stages:
  - {{pass: quantize, lambda: 1.0e-5}}
  - {{pass: distill, steps: {steps}, batch: 20, learning_rate: 0.5}}
"""


def test_a_stage_after_permuted_channels_gives_the_same_from_the_cache(tmp_path):
    def made(steps, cache):
        (tmp_path / "p.yaml").write_text(PERMUTED.format(steps=steps))
        pipeline = read_pipeline(tmp_path / "p.yaml")
        *_, last = run_stages(pipeline, load_inputs(pipeline, tmp_path / cache))
        return container.encode(last.model, ("raw",))

    made(2, "cache")
    (origin,) = (tmp_path / "cache").glob("stage-*.reference.sqz")
    assert made(30, "cache") == made(30, "other") != made(2, "cache")
    origin.write_bytes(origin.read_bytes()[:-3] + b"abc")
    assert made(20, "cache") == made(20, "other")
    assert _sound(origin)
    remove_entries(tmp_path / "cache")
    assert not origin.exists()


def _sound(file):
    try:
        container.read(file)
    except Exception:
        return False
    return True


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_run_that_is_killed_repeatedly_continues_to_the_same_bytes(folder, tmp_path):
    command = [sys.executable, "-m", "compress", "-v", "run", folder / "p.yaml", "--cache", tmp_path / "cache"]
    command += ["--out", tmp_path / "out"]
    left = []
    for stage in ("prune", "share"):
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as run:
            while not any(
                f'"stage": "{stage}"' in file.read_text() for file in (tmp_path / "cache").glob("stage-*.json")
            ):
                time.sleep(0.01)
                assert run.poll() is None
            run.send_signal(signal.SIGKILL)
        left.append(len(list((tmp_path / "cache").glob("stage-*.sqz"))))
    assert left[0] <= left[1] < 3
    assert CliRunner().invoke(main, list(map(str, command[3:]))).exit_code == 0
    assert (tmp_path / "out/model.sqz").read_bytes() == (folder / "first/model.sqz").read_bytes()


def test_two_runs_can_use_one_cache_at_the_same_time(folder, tmp_path):
    command = [sys.executable, "-m", "compress", "run", folder / "p.yaml", "--cache", tmp_path / "cache"]
    runs = [subprocess.Popen([*command, "--out", tmp_path / out], stdout=subprocess.DEVNULL) for out in ("a", "b")]
    assert [run.wait(timeout=120) for run in runs] == [0, 0]
    for out in ("a", "b"):
        assert (tmp_path / out / "model.sqz").read_bytes() == (folder / "first/model.sqz").read_bytes()
    assert {file.suffix for file in (tmp_path / "cache").glob(".*")} == set()


def test_cleaning_a_cache_leaves_other_files(folder, tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    for file in (folder / "cache").iterdir():
        (cache / file.name).write_bytes(file.read_bytes())
    unfinished, own = f".model.sqz.{'0' * 16}.tmp", [".own.tmp", "thesis.txt", f"{'0' * 32}.npy"]
    for name in own:
        (cache / name).write_text("mine")
        os.utime(cache / name, (0, 0))
    (cache / unfinished).write_text("being written by another run")
    shown = CliRunner().invoke(main, ["cache", "list", str(cache)])
    assert shown.exit_code == 0
    for word in ("decoded photos", "stage", "distill", "unfinished file"):
        assert word in shown.stdout
    assert "thesis" not in shown.stdout
    assert remove_entries(cache, older_than_seconds=3600) == []
    assert CliRunner().invoke(main, ["cache", "clean", str(cache), "--older-than", "nan"]).exit_code == 2
    assert CliRunner().invoke(main, ["cache", "clean", str(cache)]).exit_code == 0
    assert sorted(file.name for file in cache.iterdir()) == sorted([unfinished, *own])
    assert [entry.kind for entry in list_entries(cache)] == ["unfinished file"]


def test_the_folder_of_a_run_stands_for_its_cache(tmp_path):
    (tmp_path / "out/a/cache").mkdir(parents=True)
    file = tmp_path / f"out/a/cache/{'0' * 64}.npy"
    np.save(file, np.zeros(3))
    shown = CliRunner().invoke(main, ["cache", "list", str(tmp_path / "out/a")])
    assert shown.stdout.startswith(f"{tmp_path}/out/a/cache: {file.stat().st_size:,} bytes")
    assert CliRunner().invoke(main, ["cache", "clean", str(tmp_path / "out/a")]).exit_code == 0
    assert not file.exists()


def test_without_folders_the_caches_of_all_runs_are_listed_and_cleaned(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out/a/cache").mkdir(parents=True)
    np.save(tmp_path / f"out/a/cache/{'0' * 64}.npy", np.zeros(3))
    assert "out/a/cache" in CliRunner().invoke(main, ["cache", "list"]).stdout
    assert CliRunner().invoke(main, ["cache", "clean"]).exit_code == 0
    assert list((tmp_path / "out/a/cache").iterdir()) == []
