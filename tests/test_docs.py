"""What the documents say is so: options, dependencies, links, targets and commands."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from compress.cli import main
from compress.data.sources import SOURCES as PHOTO_SOURCES
from compress.networks.pretrained import SOURCES as WEIGHTS_SOURCES
from compress.passes import PASSES
from compress.pipeline import read_pipeline
from compress.pipeline.spec import Encode, Goal
from compress.ready import ready_pipelines

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("reports/*.md")])
PIPELINES = (ROOT / "docs" / "pipelines.md").read_text("utf-8")


def requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = [text for extra in project["optional-dependencies"].values() for text in extra]
    return [Requirement(text) for text in (*project["dependencies"], *extras)]


def section(title: str) -> str:
    """The part of docs/pipelines.md under a heading that begins so."""
    found = re.search(rf"^(#+) {re.escape(title)}.*?$(.*?)(?=^##?#? |\Z)", PIPELINES, re.MULTILINE | re.DOTALL)
    assert found, f"no section {title}"
    return found[2]


@pytest.mark.parametrize("name", PASSES)
def test_every_option_of_a_pass_is_in_its_table_and_no_other(name):
    options = {field.name for field in dataclasses.fields(PASSES[name])}
    rows = [line.split("|")[1] for line in section(f"`{name}`").splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == options


@pytest.mark.parametrize(
    ("title", "kinds"),
    [("`model`", WEIGHTS_SOURCES), ("`data`", PHOTO_SOURCES), ("`encode`", {"": Encode}), ("`goal`", {"": Goal})],
)
def test_every_source_and_key_is_described(title, kinds):
    text = section(title)
    for name, kind in kinds.items():
        assert not name or f"| `{name}`" in text
        for field in dataclasses.fields(kind):
            assert f"`{field.name}`" in text


@pytest.mark.parametrize("requirement", requirements(), ids=lambda requirement: requirement.name)
def test_every_dependency_is_accounted_for_and_pinned_within_its_range(requirement):
    reasons = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    assert re.search(rf"\b{re.escape(requirement.name)}\b", reasons)
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE))
    assert pins[requirement.name.replace(".", "-")] in requirement.specifier


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text("utf-8")):
        assert target.startswith("https://") or (document.parent / target).exists(), target


def test_targets_and_commands_named_in_documents_exist():
    text = "".join((ROOT / name).read_text("utf-8") for name in ("README.md", "CONTRIBUTING.md"))
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:^ {4}|`)make ([a-z]+)", text, re.MULTILINE)) <= targets
    assert set(re.findall(r"(?:^ {4}|`)squeeze-compress ([a-z]+)", text, re.MULTILINE)) <= set(main.commands)
    missing = [command for command in main.commands if f"squeeze-compress {command}" not in text]
    assert not missing, "commands that the README does not show"


@pytest.mark.parametrize("name", ready_pipelines())
def test_a_ready_pipeline_says_what_it_does_and_how_long_it_takes(name):
    pipeline = read_pipeline(ready_pipelines()[name])
    assert pipeline.description.startswith("Makes ")
    assert re.search(r"Takes about [\d.]+ (minutes|hours?)", pipeline.description)
    assert pipeline.goal.bytes
    assert name in (ROOT / "README.md").read_text("utf-8")
