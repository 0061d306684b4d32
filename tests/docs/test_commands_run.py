"""Every command and Python example of README.md and docs/ runs as it is printed, in a folder with a user's own files.

Blocks that cannot run here have a comment that says why, see `markdown_blocks`.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from click.testing import CliRunner
from markdown_blocks import command_lines, read_blocks
from PIL import Image
from skimage import data

import compress
from compress.cli.main import main

ROOT = Path(__file__).parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text("utf-8") for path in (ROOT / "README.md", *ROOT.glob("docs/**/*.md"))
}
WITH_BLOCKS = sorted(name for name, page in PAGES.items() if any(not block.reason for block in read_blocks(page)))

FEW_PHOTOS = "--set data.calibration.count=2 --set data.validation.count=2"
ONE_STAGE = "--set 'stages=[{pass: prune, sparsity: 0.3}]' --set encode.coding=raw"
NO_GOAL = "--set 'goal={bytes: 9MB}'"
LIMITS = {
    ("README.md", "run pipeline.yaml"): f"{FEW_PHOTOS} {ONE_STAGE} {NO_GOAL}",
    ("docs/ci.md", "run docs/ci/pipeline.yaml"): f"{FEW_PHOTOS} {ONE_STAGE}",
    ("docs/commands.md", "run squeezenet-500k"): f"{ONE_STAGE} {NO_GOAL}",
    ("docs/search.md", "search"): "--trials 1",
    ("docs/tutorial.md", "run pipeline.yaml"): "--set data.calibration.limit=200 --set data.validation.limit=50 "
    f"--set 'stages.quantize={{pass: share, name: quantize, bits: 6}}' {NO_GOAL}",
}
"""The options that the test adds to commands that take long, by the page and the start of the command."""

READ_ONLY = {
    ("docs/commands.md", "compress weights.pth"),
    ("docs/commands.md", "run squeezenet-400k --max-drop"),
    ("docs/commands.md", "search pipeline.yaml --bytes 400kB"),
    ("docs/commands.md", "run pipeline.yaml"),
    ("docs/many-machines.md", "run pipeline.yaml"),
    ("docs/models/*.md", "run "),
    ("docs/search.md", "search pipeline.yaml --max-drop"),
    ("docs/search.md", "search pipeline.yaml --bytes 400kB --max-drop"),
}
"""Commands that differ little from one that is run: the test reads their options."""

NETWORK = """\
from torch import nn


def resnet18(classes, width=64):
    layers = nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, classes, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(*layers)
"""
PIPELINE = """\
model: {factory: "birds.networks:resnet18", args: {classes: 3}, preprocessing: torchvision, input_size: 32}
data:
  calibration: {source: folder, path: birds/photos/train}
  validation: {source: folder, path: birds/photos/test}
stages:
  - {pass: prune, sparsity: 0.2}
  - {pass: share, bits: 5}
search:
  stages.share.bits: {min: 4, max: 7}
"""


def _save(pixels: object, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def users_files(tmp_path_factory) -> Path:
    """A folder with what the pages take for granted: the clone's files, photos, models, a network and its pipeline."""
    folder = tmp_path_factory.mktemp("user")
    for name in ("Makefile", "constraints.txt", "docs", "pipelines", "pyproject.toml"):
        (folder / name).symlink_to(ROOT / name)
    for name in ("cat.jpg", "photo.jpg", "photo.ppm", "photos/tabby cat/1.jpg", "birds/photos/test/0/1.png"):
        _save(data.chelsea(), folder / name)
    for name in ("photos/espresso/2.jpg", "birds/photos/test/1/1.png"):
        _save(data.coffee(), folder / name)
    for number in range(3):
        _save(data.astronaut()[50 * number :], folder / f"unlabeled/{number}.png")
        _save(data.rocket()[50 * number :], folder / f"birds/photos/train/{number}/1.png")
    _save(data.astronaut(), folder / "birds/photos/test/2/1.png")
    for name in ("model.sqz", "old.sqz"):
        shutil.copy(ROOT / "models" / "squeezenet.sqz", folder / name)
    (folder / "weights.pth").touch()
    (folder / "birds" / "networks.py").write_text(NETWORK)
    for name in ("birds.yaml", "pipeline.yaml"):
        (folder / name).write_text(PIPELINE)
    return folder


@pytest.fixture
def here(users_files, tmp_path, monkeypatch) -> Path:
    shutil.copytree(users_files, tmp_path / "work", symlinks=True)
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.syspath_prepend(tmp_path / "work")
    return tmp_path / "work"


def check_pip(words: list[str]) -> None:
    """Check the extras of `pip install`: an installation needs the network, and the package is in no index."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert words[1] == "install"
    assert "squeeze-compress" not in words
    for asked in re.findall(r"^\.\[(.*)\]$", "\n".join(words), re.MULTILINE):
        assert set(asked.split(",")) <= set(extras)


def run_here(page: str, line: str) -> None:
    """Run a command of the package in this process, which saves loading torch; `> FILE` is known.

    A page shows the exit code, `; echo $?`, of a command that misses its goal.
    """
    line, _, shows_exit_code = line.partition("; echo")
    command, _, output = line.partition(" > ")
    words = shlex.split(command, comments=True)
    for (of, start), options in LIMITS.items():
        if of == page and command.startswith(start):
            words += shlex.split(options)
    if any(fnmatch(page, of) and command.startswith(start) for of, start in READ_ONLY):
        main.commands[words[0]].make_context(words[0], words[1:])
        return
    result = CliRunner().invoke(main, words)
    assert result.exit_code == (3 if shows_exit_code else 0), f"{line}\n{result.output}"
    if output:
        Path(output.strip()).write_text(result.stdout, "utf-8")


def run(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    if words[0] == "squeeze-compress":
        run_here(page, line.partition(" ")[2])
    elif words[0] == "torchrun":  # with one process; tests of the pipeline run several
        run_here(page, line.partition("-m compress ")[2])
    elif words[0] == "pip":
        check_pip(words)
    else:
        if words[:1] == ["make"] and len(words) == 2:  # a target of this project; CI runs them
            line = f"make --dry-run {words[1]}"
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        subprocess.run(["bash", "-euc", line], check=True, timeout=120, env={**os.environ, "PATH": path})


@pytest.mark.parametrize("name", WITH_BLOCKS)
def test_commands_and_examples_run_as_printed(name, here):
    if "squeeze-compress init" in PAGES[name]:
        (here / "pipeline.yaml").unlink()
    namespace = {"compress": compress}
    for block in read_blocks(PAGES[name]):
        if block.reason:
            continue
        if block.language == "python":
            exec(block.text, namespace)
        else:
            for line in command_lines(block.text):
                run(name, line)


def test_a_limit_belongs_to_a_command():
    for pattern, start in (*LIMITS, *READ_ONLY):
        assert any(
            fnmatch(name, pattern) and re.search(f"(squeeze-|-m )compress {re.escape(start)}", page)
            for name, page in PAGES.items()
        )
