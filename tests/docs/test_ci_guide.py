"""docs/ci.md and `make ci`: the examples work."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from records import make_record
from ruamel.yaml import YAML

from compress.cli.main import main
from compress.configuration.config import read_pipeline
from compress.report import write_report

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "ci.md").read_text("utf-8")
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)


def commands() -> Iterator[list[str]]:
    """Yield the words of each command line in the examples of the guide and in `make ci`."""
    of_make = re.search(r"^ci:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    assert of_make
    folded = re.sub(r"\\\n|\n {6,10}(?=--|squeeze)", " ", of_make[1] + "\n".join(EXAMPLES))
    for line in re.findall(r"squeeze-compress ((?:run|compare|report) .*)", folded):
        words = re.sub(r" > \S+", "", line)  # without the shell's redirection
        yield shlex.split(words.replace("$$", "").replace("$(OUT)", "out"), comments=True)


def test_there_are_three_examples_of_run_and_compare_and_two_reports():
    assert [words[0] for words in commands()] == ["run", "compare"] + ["run", "compare", "report"] * 2


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_command_in_the_guide_can_be_parsed(words, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for path in (Path(word) for word in words if word.endswith(".sqz")):  # compare needs existing models
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    Path("photos/validation").mkdir(parents=True)
    given = ["embedded" if word == "accepted" else word for word in words[1:]]  # a shell variable
    main.commands[words[0]].make_context(words[0], given)


def test_the_examples_are_yaml_and_the_first_is_a_pipeline(tmp_path):
    pipeline, actions, gitlab, pre_commit = EXAMPLES
    (tmp_path / "p.yaml").write_text(pipeline)
    assert read_pipeline(tmp_path / "p.yaml").goal.max_top1_drop == 1
    steps = YAML(typ="safe").load(actions)["jobs"]["gate"]["steps"]
    assert [step["uses"].split("/")[0] for step in steps if "uses" in step] == ["actions"] * 4
    assert YAML(typ="safe").load(gitlab)["model"]["rules"][1]["allow_failure"] == {"exit_codes": [3]}
    (hook,) = YAML(typ="safe").load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    assert YAML(typ="safe").load(pre_commit)["repos"][0]["hooks"][0]["id"] == hook["id"]
    assert not re.search(r"https?://", "".join(EXAMPLES))


@pytest.mark.parametrize("is_first", [False, True])
def test_the_step_of_github_shows_the_change_beside_the_base_branch(tmp_path, is_first):
    """The script of the example in a shell, with a stand-in for `gh`, which needs GitHub."""
    write_report(make_record(goal_bytes=400_000), tmp_path / "out")
    if not is_first:
        write_report(make_record(), tmp_path / "artifact")
    programs = {
        "gh": '[ "$2" = list ] && echo 7 || { [ "$3" = 7 ] && cp -r artifact base; }',
        "squeeze-compress": f'exec {sys.executable} -m compress "$@"',
    }
    for name, script in programs.items():
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}\n", "utf-8")
        (tmp_path / "bin" / name).chmod(0o755)
    search_path = os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]])
    environment = {**os.environ, "PATH": search_path, "PYTHONPATH": str(ROOT), "GITHUB_STEP_SUMMARY": "summary.md"}
    steps = YAML(typ="safe").load(EXAMPLES[1])["jobs"]["gate"]["steps"]
    script = next(step["run"] for step in steps if step.get("name") == "Show it beside the base branch")
    subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, env={**environment, "BASE": "main"}, check=True)
    summary = (tmp_path / "summary.md").read_text("utf-8")
    assert re.search(r"^\| base \| .*\n\| out \| ", summary, re.MULTILINE)
    assert summary.count("❌") == (2 if is_first else 1)
    assert (tmp_path / "out" / "comparison.html").exists()


def test_the_pipeline_of_make_ci_has_a_goal_and_needs_no_data():
    pipeline = read_pipeline(ROOT / "docs" / "ci" / "pipeline.yaml")
    assert pipeline.goal.bytes
    assert pipeline.goal.min_agreement
    assert not pipeline.goal.needs_labels
    sources = {type(pipeline.calibration).__name__, type(pipeline.validation).__name__, type(pipeline.model).__name__}
    assert sources == {"Samples", "EmbeddedWeights"}


def test_the_exit_codes_in_the_guide_are_those_of_the_errors():
    from compress.errors import ConfigError, GoalMissed, SqueezeError

    assert {code: f"| {code} |" in GUIDE for code in (0, 1, 2, 3)} == dict.fromkeys(range(4), True)
    assert (SqueezeError.exit_code, ConfigError.exit_code, GoalMissed.exit_code) == (1, 2, 3)
