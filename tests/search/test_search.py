"""A whole search on a network of 720,000 weights: trials, the winner's pipeline and file, and the pages."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from compress.cli.main import main
from compress.configuration.config import read_pipeline
from compress.evaluation.goals import BYTES
from compress.evaluation.results import GoalRecord
from compress.passes import Share
from compress.pipeline.inputs import load_inputs
from compress.pipeline.runner import RunResult
from compress.report import from_json
from compress.search import run_search
from compress.search.search_pages import scan_to_html
from compress.search.sensitivity import LayerScan, Scan, Setting

PIPELINE = """\
# Small.
model: {source: random, architecture: squeezenet1_1, classes: 10, input_size: 32, resize: squash}
data:
  calibration: {source: digits, limit: 20}
  validation: {source: digits, limit: 60}
stages:
  # First of all.
  - {pass: prune, sparsity: 0.5}   # half

  - {pass: share, bits: 4, init: density, kmeans_iterations: 1}
search:
  stages.prune.sparsity: [0.5, 0.9]
  stages.share.bits: {min: 2, max: 4}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    (folder / "small.yaml").write_text(PIPELINE)
    done = go(folder, "out", "--bytes", "200kB", "--trials", "5")
    assert done.exit_code == 0, done.output
    return folder


def call(*words):
    return CliRunner().invoke(main, list(map(str, words)))


def go(folder, out, *options):
    return call("search", folder / "small.yaml", "--out", folder / out, "--cache", folder / "cache", *options)


def record(folder, out="out"):
    return json.loads((folder / out / "search.json").read_text())


def test_the_winner_is_the_closest_file_within_the_limit(folder):
    found = record(folder)
    trials = found["trials"]
    within = [trial for trial in trials if trial["state"] == "measured" and trial["file_bytes"] <= 200_000]
    assert len(trials) == 5
    assert found["feasible"]
    assert trials[found["winner"]] == min(within, key=lambda trial: trial["divergence_nats"])
    assert trials[0]["origin"] == "pipeline"
    assert trials[0]["state"] == "measured"
    assert {trial["origin"] for trial in trials} >= {"pipeline", "scan"}


def test_the_winners_pipeline_reproduces_the_file_and_has_the_limit_as_its_goal(folder):
    winner = folder / "out/winner.yaml"
    for comment in ("# Small.", "  # First of all.", "# half"):
        assert comment in winner.read_text()
    assert "goal: {bytes: 200000}" in winner.read_text()
    assert call("run", winner, "--out", folder / "again").exit_code == 0
    assert (folder / "again/model.sqz").read_bytes() == (folder / "out/model.sqz").read_bytes()
    chosen = record(folder)["trials"][record(folder)["winner"]]
    assert (folder / "out/model.sqz").stat().st_size == chosen["file_bytes"]


def trials_of(folder, monkeypatch, text, limits, trials, out, cache="cache"):
    """Return the record of a search without running the winner."""
    monkeypatch.setattr(run_search, "_run_winner", lambda *given: None)
    (folder / "p.yaml").write_text(text)
    spec = read_pipeline(folder / "p.yaml")
    return run_search.search(spec, limits, folder / out, trials=trials, cache=folder / cache)[0]


def test_a_repeated_search_continues_with_new_trials(folder, monkeypatch):
    ran, shared = [], Share.__call__
    monkeypatch.setattr(Share, "__call__", lambda self, *given: ran.append(self.bits) or shared(self, *given))
    limits = run_search.Limits(bytes=200_000)
    first = trials_of(folder, monkeypatch, PIPELINE, limits, 2, "more").trials
    assert ran == [4, 3, 2]  # by the scan; the search of the fixture cached the stages
    more = trials_of(folder, monkeypatch, PIPELINE, limits, 3, "more").trials
    assert more[:2] == first
    assert len(more) == 3


def test_a_search_of_a_network_with_other_code_is_another_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = "from torch import nn\ndef made(): return nn.Sequential(nn.Conv2d(3, 8, 3), nn.{}(), Mean())\n"
    mean = "class Mean(nn.Module):\n    def forward(self, x): return x.mean((2, 3))\n"
    (tmp_path / "p.yaml").write_text(
        "model: {source: factory, factory: 'activated:made', input_size: 16}\n"
        "data: {calibration: {source: samples, count: 8}, validation: {source: samples, count: 4}}\n"
    )
    names = []
    for activation in ("ReLU", "Tanh", "ReLU"):
        (tmp_path / "activated.py").write_text(made.format(activation) + mean)
        spec = read_pipeline(Path("p.yaml"))
        names.append(run_search._study_name(spec, load_inputs(spec, tmp_path / "cache")))
    assert names[0] == names[2] != names[1]


def test_limits_that_no_trial_meets_give_exit_code_3_and_the_margin(folder, monkeypatch):
    def too_large(spec, out, **options):
        report = from_json((folder / "out/report.json").read_text())
        goal = GoalRecord(BYTES, "bytes", "at most", spec.goal.bytes, report.file.file_bytes, met=False)
        return RunResult(replace(report, goals=(goal,)), out / "model.sqz", out / "report.html")

    monkeypatch.setattr(run_search.runner, "run", too_large)
    missed = go(folder, "missed", "--bytes", "1kB", "--trials", "1")
    assert missed.exit_code == 3
    assert "the goal was missed: bytes of the file by" in missed.stderr
    assert "goal: {bytes: 1000}" in (folder / "missed/winner.yaml").read_text()
    assert not record(folder, "missed")["feasible"]


def test_without_labels_a_drop_limits_the_agreement():
    limits = run_search.Limits(bytes=1_000, max_drop=0.5)
    assert limits.goal(labeled=True) == {"bytes": 1_000, "max_top1_drop": 0.5}
    assert limits.goal(labeled=False) == {"bytes": 1_000, "min_agreement": 0.995}


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        (PIPELINE, [], "there are no limits; give --bytes, --max-drop or both, or a 'goal' in the pipeline"),
        (PIPELINE.partition("search:")[0], ["--bytes", "1kB"], "search: the pipeline has no values to search"),
        (
            PIPELINE.replace("share, bits: 4", "share, bytes: smallest, bits: 4") + "goal: {max_divergence: 1}\n",
            [],
            "stages.1.bytes: smallest is a search of its own; give bytes or lambda here, or use 'run'",
        ),
        (PIPELINE, ["--bytes", "1kB", "--study", "sqlite:////none/x.db"], "--study: cannot open the study sqlite:////"),
    ],
)
def test_errors_are_found_before_the_first_trial(tmp_path, text, options, words):
    (tmp_path / "p.yaml").write_text(text)
    done = call("search", tmp_path / "p.yaml", "--out", tmp_path / "out", *options)
    assert done.exit_code == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_scan_has_the_divergence_of_each_layer_and_setting(folder):
    out = folder / "scan"
    done = call("sensitivity", folder / "small.yaml", "--out", out, "--cache", folder / "cache", "--photos", "32")
    assert done.exit_code == 0, done.output
    found = json.loads((out / "sensitivity.json").read_text())
    assert [(s["kind"], s["value"]) for s in found["settings"]] == [
        ("prune", 0.5), ("prune", 0.9), ("share", 4), ("share", 3), ("share", 2),
    ]  # fmt: skip
    assert len(found["layers"]) == 26
    assert all(len(layer["divergences"]) == 5 for layer in found["layers"])
    assert found["all_layers"][0] < found["all_layers"][1]
    assert found["all_layers"][2] < found["all_layers"][4]
    assert "features.12.squeeze" in done.stdout
    assert "<svg" in (out / "sensitivity.html").read_text()


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_a_scan_of_equal_divergences_is_drawn_without_a_warning(value, recwarn):
    layers = tuple(LayerScan(name, 10, (value, value)) for name in ("first.weight", "second.weight"))
    scan = Scan("p", 10, (Setting("prune", 0.5), Setting("share", 2)), layers, (value, value))
    assert "share-chart" in scan_to_html(scan)
    assert not recwarn.list


def test_a_scan_goes_on_where_a_layer_leaves_no_finite_output(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "divides.py").write_text(
        "from torch import nn\n"
        "class Scaled(nn.Conv2d):\n"
        "    def forward(self, x): return super().forward(x) / self.weight.abs().amin()\n"
        "def made(): return nn.Sequential(nn.Conv2d(3, 8, 3), Scaled(8, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
    )
    (tmp_path / "p.yaml").write_text(
        "model: {source: factory, factory: 'divides:made', input_size: 16}\n"
        "data: {calibration: {source: samples, count: 8}, validation: {source: samples, count: 4}}\n"
    )
    done = call("sensitivity", "p.yaml", "--out", "out", "--photos", "4", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout, parse_constant=pytest.fail)
    plain, scaled = (layer["divergences"] for layer in found["layers"])
    assert all(isinstance(value, float) for value in plain)
    assert scaled[:4] == [None] * 4 == found["all_layers"][:4]
    assert json.loads((tmp_path / "out" / "sensitivity.json").read_text()) == found
    assert ">inf<" in (tmp_path / "out" / "sensitivity.html").read_text()


def test_a_scan_begins_each_time_with_the_buffers_of_the_file(tmp_path, monkeypatch):
    """Weights of two values are shared without an error, whatever the network counted in the scan before."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "counts.py").write_text(
        "import torch\n"
        "from torch import nn\n"
        "class Counting(nn.Sequential):\n"
        "    def __init__(self):\n"
        "        super().__init__(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 6))\n"
        "        self.register_buffer('photos', torch.zeros(1))\n"
        "        for layer in (self[0], self[3]): layer.weight.data = layer.weight.sign()\n"
        "    def forward(self, x):\n"
        "        self.photos += 1\n"
        "        return super().forward(x) * self.photos\n"
    )
    (tmp_path / "p.yaml").write_text(
        "model: {source: factory, factory: 'counts:Counting', input_size: 16}\n"
        "data: {calibration: {source: samples, count: 8}, validation: {source: samples, count: 4}}\n"
    )
    done = call("sensitivity", "p.yaml", "--out", "out", "--photos", "4", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    shared = [index for index, setting in enumerate(found["settings"]) if setting["kind"] == "share"]
    for divergences in (found["all_layers"], *(layer["divergences"] for layer in found["layers"])):
        assert [divergences[index] for index in shared] == pytest.approx([0] * len(shared), abs=1e-6)


def test_without_its_packages_the_error_says_how_to_install_them(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    done = go(folder, "out", "--bytes", "200kB")
    assert done.exit_code == 2
    assert "in a clone of squeeze-compress: pip install '.[search]'" in done.stderr
