"""`validate`, `schema`, `completion` and `doctor`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import jsonschema
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result
from ruamel.yaml import YAML

from compress.builtin_pipelines import builtin_pipelines
from compress.cli.main import main
from compress.configuration.config import read_pipeline
from compress.configuration.json_schema import pipeline_schema

ROOT = Path(__file__).parents[2]
VALIDATOR = jsonschema.Draft202012Validator(pipeline_schema())


def command(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, prog_name="squeeze-compress")


def load(text: str) -> object:
    return YAML(typ="safe").load(text)


def test_validate_names_file_line_and_column(tmp_path):
    file = tmp_path / "p.yaml"
    file.write_text("stages:\n  - pass: prune\n    sparsty: 0.5\n")
    done = command("validate", str(file))
    assert done.exit_code == 2
    assert f"{file}:3:5: stages.0.sparsty: unknown key" in done.stderr
    assert "did you mean 'sparsity'" in done.stderr


def test_validate_checks_every_pipeline_and_ends_with_2_if_one_is_wrong(tmp_path):
    wrong, worse = tmp_path / "wrong.yaml", tmp_path / "worse.yaml"
    wrong.write_text("sed: 1\n")
    worse.write_text("goal: {bites: 1}\n")
    done = command("validate", str(wrong), "squeezenet", str(worse))
    assert done.exit_code == 2
    assert done.stdout == "squeezenet: valid; stages: prune, share\n"
    assert f"error: {wrong}:1:1: sed: unknown key" in done.stderr
    assert f"error: {worse}:1:8: goal.bites: unknown key" in done.stderr


def test_the_pre_commit_hook_refuses_a_pipeline_with_a_mistake(tmp_path):
    """The real pre-commit; the hook runs in this environment and not in one that pre-commit installs."""
    hook = load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))[0]
    local = {**hook, "language": "system", "entry": f"{sys.executable} -m compress validate"}
    config = {"repos": [{"repo": "local", "hooks": [local]}]}
    (tmp_path / ".pre-commit-config.yaml").write_text(json.dumps(config), "utf-8")
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "pipeline.yaml").write_text("sed: 1\n")
    (tmp_path / "other.yaml").write_text("sed: 1\n")  # not a pipeline
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PRE_COMMIT_HOME": str(tmp_path / "home")}
    for words in (["git", "init", "-q"], ["git", "add", "."]):
        subprocess.run(words, cwd=tmp_path, env=environment, check=True)
    run = [sys.executable, "-m", "pre_commit", "run"]
    done = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout
    assert "error: nets/pipeline.yaml:1:1: sed: unknown key" in done.stdout
    assert "other.yaml" not in done.stdout


def test_validate_names_the_stages_of_a_valid_pipeline():
    done = command("validate", "squeezenet")
    assert (done.exit_code, done.stdout) == (0, "squeezenet: valid; stages: prune, share\n")


def test_a_stage_that_fills_more_bytes_than_the_goal_allows_is_told_before_a_run():
    alone = command("validate", "squeezenet", "--set", "goal.bytes=480kB")
    assert alone.exit_code == 0
    assert "stages.share.bytes is 500,000 and goal.bytes 480,000" in alone.stderr
    both = command("validate", "squeezenet", "--set", "goal.bytes=480kB", "--set", "stages.share.bytes=480kB")
    assert (both.exit_code, both.stderr) == (0, "")


@pytest.mark.parametrize("file", builtin_pipelines().values(), ids=builtin_pipelines())
def test_every_built_in_pipeline_satisfies_the_schema(file):
    VALIDATOR.validate(load(file.read_text("utf-8")))


@pytest.mark.parametrize(
    "text",
    [
        "stages: [{pass: prune, sparsty: 0.5}]",
        "stages: [{pass: prune, sparsity: 1.5}]",
        "stages: [{pass: prun}]",
        "stages: [{sparsity: 0.5}]",
        "data: {calibration: {source: folder}}",
        "data: {training: {source: digits}}",
        "encode: {coding: zip}",
        "goal: {bites: 1}",
        "seed: -1",
        "stage: []",
    ],
)
def test_schema_refuses_what_a_run_refuses(text, tmp_path):
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(load(text))
    (tmp_path / "p.yaml").write_text(text)
    assert command("validate", str(tmp_path / "p.yaml")).exit_code == 2


@pytest.mark.parametrize("text", ["", "stages: [{pass: share, lambda: 1e-6, name: mine}]", "model: {source: embedded}"])
def test_schema_accepts_what_a_run_accepts(text, tmp_path):
    (tmp_path / "p.yaml").write_text(text or "{}")
    read_pipeline(tmp_path / "p.yaml")
    VALIDATOR.validate(load(text or "{}"))


def test_schema_describes_every_option_of_every_pass():
    for pass_ in pipeline_schema()["properties"]["stages"]["items"]["oneOf"]:
        undescribed = {name for name, option in pass_["properties"].items() if "description" not in option}
        assert undescribed <= {"pass", "name"}, pass_["title"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(shell):
    done = command("completion", shell)
    assert "_SQUEEZE_COMPRESS_COMPLETE" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (("run", "mcunet-2"), ["mcunet-240k"]),
        (("validate", "p.yaml", "fash"), ["fashion-mnist"]),
        (("predict", "squeezenet-4"), ["squeezenet-400k"]),
        (("compare", "squeezenet", "emb"), ["embedded"]),
        (("compress", "emb"), ["embedded"]),
        (("inspect", "emb"), []),
    ],
)
def test_completion_knows_the_names_of_models_and_pipelines(words, completed):
    *before, incomplete = words
    found = ShellComplete(main, {}, "squeeze-compress", "").get_completions(before, incomplete)
    assert [each.value for each in found if each.type == "plain"] == completed
    assert "file" in [each.type for each in found]


def test_doctor_finds_weights_photos_and_models():
    done = command("doctor", "--json")
    assert done.exit_code == 0, done.stderr
    checks = {check["subject"]: check for check in json.loads(done.stdout)}
    assert all(checks[subject]["ok"] for subject in ("torch", "weights", "photos", "class names", "built-in models"))
    assert "GB are free here" in checks["disk"]["finding"]


def commands(group: click.Group, words: tuple[str, ...] = ()) -> dict[str, click.Command]:
    """Return all commands of a group by their words."""
    found: dict[str, click.Command] = {}
    for name, each in group.commands.items():
        found |= commands(each, (*words, name)) if isinstance(each, click.Group) else {" ".join((*words, name)): each}
    return found


@pytest.mark.parametrize("group", [(), ("cache",)])
def test_help_lists_every_command_with_its_whole_summary(group):
    listing = command(*group, "--help").stdout.partition("Commands:")[2]
    assert "..." not in listing
    assert len(listing.splitlines()) > 2
    assert max(map(len, listing.splitlines())) <= 80


@pytest.mark.parametrize("group", [main, main.commands["cache"]])
def test_summaries_are_whole_in_narrow_terminals_and_in_shells(group):
    listing = CliRunner().invoke(group, ["--help"], terminal_width=40).stdout.partition("Commands:")[2].split()
    completed = ShellComplete(group, {}, "squeeze-compress", "").get_completions([], "")
    assert len(completed) == len(group.commands)
    for command in completed:
        assert command.help == group.commands[command.value].help.partition("\n")[0]
        assert f"{command.value} {command.help}" in " ".join(listing)


@pytest.mark.parametrize("name", commands(main))
def test_help_of_a_command_has_an_example(name):
    assert f"squeeze-compress {name}" in command(*name.split(), "--help").stdout.partition("Example")[2]


@pytest.mark.parametrize("name", commands(main))
def test_help_breaks_no_option_and_calls_no_number_a_range(name):
    shown = command(*name.split(), "--help").stdout
    assert re.findall(r"\S+-$", shown, re.MULTILINE) == []
    assert " RANGE" not in shown


@pytest.mark.parametrize(
    ("option", "value", "kind"), [("--limit", "x", "integer"), ("--max-top1-drop", "0,5", "number")]
)
def test_a_value_that_is_no_number_is_called_that(option, value, kind):
    done = command("compare", "squeezenet", "squeezenet", "--data", "samples", option, value)
    assert f"'{value}' is not a valid {kind}." in done.stderr


def test_commands_that_print_figures_have_json():
    without = {
        name for name, each in commands(main).items() if all("--json" not in option.opts for option in each.params)
    }
    assert without == {"completion", "init", "report", "schema", "validate"}  # `report` has --format json


def test_o_is_short_for_the_output_of_every_command():
    outputs = [
        option.opts
        for each in commands(main).values()
        for option in each.params
        if {"--out", "--output"} & set(option.opts)
    ]
    assert len(outputs) == 8
    assert all("-o" in names for names in outputs)


@pytest.mark.parametrize("name", commands(main))
def test_what_brackets_of_an_option_hold_is_called_a_default(name):
    texts = [getattr(option, "help", None) or "" for option in commands(main)[name].params]
    assert [text for text in texts if re.search(r"\[(?!default: )", text)] == []
