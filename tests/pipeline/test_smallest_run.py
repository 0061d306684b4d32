"""Runs that search for the smallest file within a drop of accuracy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from compress.cli.main import main

PIPELINE = """\
model: {factory: "user_networks:three_convolutions", input_size: 16, resize: squash}
data:
  calibration: {source: digits, limit: 300}
  validation: {source: digits, limit: 100}
stages:
  - {pass: train, epochs: 12, batch: 32, optimizer: adamw, learning_rate: 0.01, flip: false, validation_split: 0}
  - {pass: quantize, lambda: 1e-6, sensitivity_photos: 0, trellis: false}
encode: {coding: context}
goal: {bytes: 1 kB}
"""


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("p.yaml").write_text(PIPELINE)
    return tmp_path


def run(*arguments: str) -> tuple[int, dict, str]:
    done = CliRunner().invoke(main, ["run", "p.yaml", "--out", "o", "--json", *arguments])
    return done.exit_code, json.loads(done.stdout) if done.stdout else {}, done.stderr


def test_the_smallest_file_within_a_drop_is_smaller_for_a_larger_drop(here):
    files = {}
    for drop in (40.0, 2.0):
        exit_code, record, _ = run("--max-drop", str(drop))
        assert exit_code == 0
        (goal,) = record["goals"]
        assert (goal["quantity"], goal["limit"], goal["met"]) == ("top-1 drop", drop / 100, True)
        quantized = record["stages"][2]
        assert quantized["notes"][0].startswith("the smallest file that meets the goal, of ")
        assert f"--set 'goal={{max_top1_drop: {drop:g}}}'" in record["command"]
        files[drop] = record["file"]["file_bytes"]
    assert files[40.0] < 0.9 * files[2.0]


def test_a_drop_is_the_goal_of_a_stage_that_searches_already(here):
    text = PIPELINE.replace("lambda: 1e-6", "bytes: smallest").replace("goal: {bytes: 1 kB}\n", "")
    Path("p.yaml").write_text(text)
    exit_code, _, message = run("--max-drop", "2", "--dry-run")
    assert exit_code == 0, message


def test_a_drop_that_no_file_reaches_ends_with_3_and_says_what_was_reached(here):
    never = ("--set", "stages.quantize.lambda=null", "--set", "stages.quantize.bytes=smallest")
    exit_code, record, message = run(*never, "--set", "goal={max_divergence: 0}")
    assert exit_code == 3
    (note,) = record["stages"][2]["notes"]
    assert note.startswith("no file meets the goal; the largest, of ")
    assert f"WARNING: quantize: {note}" in message
    assert "error: the goal was missed: divergence from the float network by " in message


def test_photos_without_labels_are_refused_before_anything_runs(here):
    exit_code, _, message = run("--max-drop", "1", "--set", "data={validation: {source: samples, count: 3}}")
    assert exit_code == 1
    assert "the goal limits the drop of top-1 or top-5, but the validation photos have no labels" in message
    assert not Path("o/model.sqz").exists()
