"""`run --dry-run`: what a run would do, what is cached, how long it may take. Nothing is run or written."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from records import make_record
from safetensors.numpy import save_file
from small_models import float_squeezenet

from compress.cli.main import main
from compress.configuration.config import Stage
from compress.data.digits import Digits
from compress.passes import Distill, Prune, Quantize, Recode, Share, Train
from compress.pipeline.stage_costs import earlier_usage, photo_passes, weight_seconds
from compress.report.comparison.run_files import NamedRun

PIPELINE = """\
model: {{source: checkpoint, path: {folder}/float.safetensors, architecture: squeezenet1_1}}
data:
  calibration: {{source: digits, limit: 2}}
  validation: {{source: digits, limit: 3}}
stages:
  - {{pass: prune, sparsity: 0.6}}
  - {{pass: share, bits: 3, kmeans_iterations: 1}}
"""


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forecast")
    save_file(
        {name: tensor.to_dense() for name, tensor in float_squeezenet().tensors.items()}, folder / "float.safetensors"
    )
    (folder / "digits.yaml").write_text(PIPELINE.format(folder=folder))
    return folder / "digits.yaml"


@pytest.fixture(scope="module")
def finished(pipeline):
    """The folder of a finished run."""
    out = pipeline.with_name("out")
    result = CliRunner().invoke(main, ["run", str(pipeline), "--out", str(out), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    return out


def dry_run(pipeline, out, *more):
    arguments = ["run", str(pipeline), "--out", str(out), "--device", "cpu", "--dry-run", *more]
    return CliRunner().invoke(main, arguments)


def stages(pipeline, out, *more):
    content = json.loads(dry_run(pipeline, out, "--json", *more).stdout)
    return {stage["name"]: stage for stage in content["stages"]}


def test_before_the_first_run_it_guesses_and_writes_nothing(pipeline, tmp_path):
    result = dry_run(pipeline, tmp_path / "new")
    assert result.exit_code == 0, result.output
    assert "calibration: 2 photos, to decode" in result.stdout
    assert re.search(r"^prune +runs unless it is cached +guess +\d+ s +\d\.\d GB$", result.stdout, re.MULTILINE)
    assert "may be off by a factor of 3" in result.stdout
    assert f"report.json into {tmp_path / 'new'}. Nothing was run." in result.stdout
    assert not list(tmp_path.iterdir())


def test_after_a_run_it_knows_what_is_cached(pipeline, finished):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    result = dry_run(pipeline, finished)
    assert "calibration: 2 photos, decoded" in result.stdout
    assert len(re.findall(r"is read from the cache, validated +cache ", result.stdout)) == 2
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


def test_it_loads_weights_and_lists_photos_once(pipeline, finished, monkeypatch):
    listed, list_photos = [], Digits.list_photos

    def counted(self, role, classes):
        listed.append(role)
        return list_photos(self, role, classes)

    monkeypatch.setattr(Digits, "list_photos", counted)
    assert "decoded" in dry_run(pipeline, finished).stdout
    assert listed == ["calibration", "validation"]


def test_a_changed_stage_runs_again_and_takes_as_long_as_before(pipeline, finished):
    forecast = stages(pipeline, finished, "--set", "stages.share.bits=4")
    assert [forecast[name]["is_cached"] for name in ("prune", "share")] == [True, False]
    assert forecast["share"]["source"] == str(finished / "report.json")


def test_a_new_folder_beside_it_has_the_times_but_not_the_cache(pipeline, finished):
    forecast = stages(pipeline, finished.with_name("beside"), "--cache", str(finished / "cache"), "--seed", "1")
    assert [forecast[name]["is_cached"] for name in ("prune", "share")] == [False, False]
    assert forecast["prune"]["source"] == str(finished / "report.json")


def test_fresh_ignores_the_cache(pipeline, finished):
    assert [stage["is_cached"] for stage in stages(pipeline, finished, "--fresh").values()] == [False] * 5


def test_what_stops_a_run_before_its_first_stage_stops_it_too(pipeline, tmp_path):
    result = dry_run(pipeline, tmp_path, "--set", "goal.max_top1_drop=1", "--set", "data.validation.source=samples")
    assert result.exit_code != 0
    assert "Traceback" not in result.stderr
    result = dry_run(pipeline, tmp_path, "--set", "model.path=gone.safetensors")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no file gone.safetensors" in result.stderr


@pytest.mark.parametrize(
    ("pass_", "passes"),
    [
        (Prune(sparsity=0.5), 0),
        (Prune(sparsity=0.5, obs_update=True), 300),
        (Prune(sparsity=0.5, criterion="fisher", statistics_photos=10), 30),
        (Share(bits=4), 0),
        (Share(bits=4, bytes=1000, sensitivity_photos=0), 300),
        (Quantize(bytes=1000, augmentations=4, sensitivity_photos=50), 600 + 150),
        (Distill(steps=10, batch=8), 320),
        (Train(epochs=2), 600),
        (Recode(), 0),
    ],
)
def test_the_guess_counts_forward_passes_over_100_photos(pass_, passes):
    assert photo_passes(pass_, 100) == passes


def test_the_guess_counts_the_search_for_lambda_of_small_networks_too():
    assert weight_seconds(Quantize(bytes=10_000), 33_546) > 10  # 15 seconds of one core
    assert weight_seconds(Quantize(lambda_=1e-5), 33_546) < 5


def test_the_guess_counts_statistics_that_two_passes_share_once():
    prune, share = Prune(sparsity=0.5, obs_update=True), Share(bits=4, bytes=1000, sensitivity_photos=0)
    assert photo_passes(share, 100, [prune]) == photo_passes(prune, 100, [prune]) == 0
    assert photo_passes(replace(share, statistics_photos=50), 100, [prune]) == 150
    assert photo_passes(share, 100, [prune, Train(epochs=1)]) == 300


def test_an_earlier_time_is_scaled_to_the_photos_and_the_epochs():
    record = make_record()
    trained = replace(record.stages[1], kind="train", options={"epochs": 2}, seconds=10.0)
    run = NamedRun("a", Path("a/report.json"), replace(record, stages=(record.stages[0], trained)))
    usage, report = earlier_usage(Stage("train", Train(epochs=6)), 500, [run])
    assert usage.seconds == pytest.approx(10.0 * 3 / 2)  # of 1,000 photos and 2 epochs
    assert report == "a/report.json"
    assert earlier_usage(Stage("distill", Distill()), 500, [run]) is None


GATHERING = """\
model: {{source: checkpoint, path: {folder}/float.safetensors, architecture: squeezenet1_1}}
data:
  calibration: {{source: digits, limit: 2}}
  validation: {{source: digits, limit: 3}}
stages:
  - {{pass: quantize, lambda: 1e-6}}
"""


def test_too_little_memory_for_a_layer_is_an_error_that_says_what_is_needed(pipeline, tmp_path):
    file = tmp_path / "gathering.yaml"
    file.write_text(GATHERING.format(folder=pipeline.parent))
    result = dry_run(file, tmp_path / "out", "--memory", "100MB")
    assert result.exit_code == 2
    assert re.search(r"--memory: 0\.10 GB .* need \d\.\d\d GB, .* rows of .*\(allowed: \d\.\dGB or more", result.stderr)


def test_a_pass_without_statistics_takes_any_memory(pipeline, tmp_path):
    assert dry_run(pipeline, tmp_path / "out", "--memory", "1MB").exit_code == 0
