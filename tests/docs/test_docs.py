"""The documents agree with the code: options, defaults, dependencies, links, targets, commands and examples."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from compress.builtin_models import builtin_models
from compress.builtin_pipelines import builtin_pipelines
from compress.cli.main import main
from compress.configuration.config import Encode, read_pipeline
from compress.configuration.search_space import Range
from compress.data.sources import SOURCES as PHOTO_SOURCES
from compress.evaluation.goals import Goal
from compress.passes import PASSES
from compress.weights.weight_sources import SOURCES as WEIGHTS_SOURCES

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("reports/*.md")])
PIPELINES = (ROOT / "docs" / "pipelines.md").read_text("utf-8")


def requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = [text for extra in project["optional-dependencies"].values() for text in extra]
    return [Requirement(text) for text in (*project["dependencies"], *extras)]


def fields_of(kind: type) -> dict[str, dataclasses.Field]:
    """Return the fields of a dataclass by their keys in a pipeline file: `lambda_` has the key `lambda`."""
    return {field.name.removesuffix("_"): field for field in dataclasses.fields(kind)}


def rows(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each option in the first cell of a table row, and the other cells."""
    for line in text.splitlines():
        if line.startswith("| `"):
            first, *others = [cell.strip() for cell in line.strip("|").split("|")]
            yield from ((name, others) for name in re.findall(r"`(\w+)`", first))


def default_in(cell: str) -> object:
    """Return a default as a table shows it; None if the cell has no value or a text."""
    plain = cell.strip("`").replace(",", "")
    try:
        return float(plain)
    except ValueError:
        words = {"true": True, "false": False}
        return words.get(plain, plain if cell.startswith("`") else None)


def default_of(field: dataclasses.Field) -> object:
    """Return a default that is a number or a name, else None."""
    return field.default if isinstance(field.default, int | float | str) else None


def section(title: str) -> str:
    """Return the part of docs/pipelines.md under a heading that starts with `title`."""
    found = re.search(rf"^(#+) {re.escape(title)}.*?$(.*?)(?=^##?#? |\Z)", PIPELINES, re.MULTILINE | re.DOTALL)
    assert found, f"no section {title}"
    return found[2]


@pytest.mark.parametrize("name", PASSES)
def test_the_table_of_a_pass_has_exactly_its_options(name):
    assert {option for option, _ in rows(section(f"`{name}`"))} == set(fields_of(PASSES[name]))


@pytest.mark.parametrize(
    ("title", "kind"),
    [*((f"`{name}`", kind) for name, kind in PASSES.items()), *(("`data`", kind) for kind in PHOTO_SOURCES.values())],
)
def test_a_default_in_a_table_is_the_default_in_the_code(title, kind):
    shown = {option: default_in(cells[1]) for option, cells in rows(section(title)) if option in fields_of(kind)}
    assert shown == {name: default_of(field) for name, field in fields_of(kind).items()}


@pytest.mark.parametrize(
    ("title", "kinds"),
    [
        ("`model`", WEIGHTS_SOURCES),
        ("`data`", PHOTO_SOURCES),
        ("`encode`", {"": Encode}),
        ("`goal`", {"": Goal}),
        ("`search`", {"": Range}),
    ],
)
def test_every_source_and_key_is_documented(title, kinds):
    text = section(title)
    for name, kind in kinds.items():
        assert not name or f"| `{name}`" in text
        for key in fields_of(kind):
            assert f"`{key}`" in text


def test_examples_are_valid_pipelines(tmp_path):
    examples = re.findall(r"```yaml\n(.*?)```", PIPELINES, re.DOTALL)
    assert examples
    file = tmp_path / "example.yaml"
    for example in examples:
        file.write_text(example, "utf-8")
        assert read_pipeline(file)


def test_example_overrides_are_valid(tmp_path):
    file = tmp_path / "pipeline.yaml"
    data = "data: {validation: {source: folder, path: photos}}\n"
    stages = "stages: [{pass: prune, sparsity: 0.5}, {pass: share, layers: {features.0.weight: 6}}]\n"
    file.write_text(data + stages, "utf-8")
    overrides = re.findall(r"`--set '?([^`']+)'?`", PIPELINES)
    assert len(overrides) > 4
    for override in overrides:
        if "KEY=VALUE" not in override:
            assert read_pipeline(file, [override])


@pytest.mark.parametrize("requirement", requirements(), ids=lambda requirement: requirement.name)
def test_every_dependency_is_explained_and_pinned_within_its_range(requirement):
    reasons = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    assert re.search(rf"^\| {re.escape(requirement.name)} \|.*\w.*\|$", reasons, re.MULTILINE)
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE))
    assert pins[canonicalize_name(requirement.name)] in requirement.specifier


def test_every_import_is_a_declared_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    for_users = (*project["dependencies"], *extras["onnx"], *extras["search"], *extras["torch"])
    declared = {canonicalize_name(Requirement(text).name) for text in for_users}
    nodes = [node for file in ROOT.glob("compress/**/*.py") for node in ast.walk(ast.parse(file.read_text("utf-8")))]
    names = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    names |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    distributions = packages_distributions()
    for name in {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"compress"}:
        assert declared & {canonicalize_name(found) for found in distributions[name]}, name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_have_a_target(document):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text("utf-8")):
        assert target.startswith("https://") or (document.parent / target).exists(), target


def test_make_targets_and_commands_in_documents_exist():
    text = "".join(document.read_text("utf-8") for document in DOCUMENTS)
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:^ {4}|`)make ([a-z]+)", text, re.MULTILINE)) <= targets
    assert set(re.findall(r"`squeeze-compress ([a-z]+)", text)) <= set(main.commands)
    table = (ROOT / "docs" / "commands.md").read_text("utf-8")
    missing = [command for command in main.commands if not re.search(rf"^\| .*`{command}\b", table, re.MULTILINE)]
    assert not missing, "commands that docs/commands.md does not list"


@pytest.mark.parametrize("name", builtin_pipelines())
def test_the_description_of_a_builtin_pipeline_has_purpose_and_time(name):
    pipeline = read_pipeline(builtin_pipelines()[name])
    assert pipeline.description.startswith("Makes ")
    assert re.search(r"Takes about [\d.]+ (minutes|hours?)", pipeline.description)
    assert pipeline.goal.bytes
    report = json.loads((ROOT / "reports" / name / "report.json").read_text("utf-8"))
    assert re.search(r"Takes about [\d.]+ (minutes|hours?)", report["description"])
    assert f"[`{name}`]" in (ROOT / "docs" / "results.md").read_text("utf-8")


def result_rows(document: str) -> dict[str, dict[str, str]]:
    """Return the cells by column of each row about a pipeline's report."""
    lines = (ROOT / document).read_text("utf-8").splitlines()
    header = next(line for line in lines if line.startswith("| pipeline | bytes |"))
    names = [name.strip() for name in header.split("|")]
    rows = [line for line in lines if re.match(r"\| \[`[\w-]+`\]\(\S*reports/", line)]
    return {
        cells["pipeline"].split("`")[1]: cells
        for cells in (dict(zip(names, map(str.strip, row.split("|")), strict=True)) for row in rows)
    }


@pytest.mark.parametrize(
    ("document", "name"), [(each, name) for each in ("README.md", "docs/results.md") for name in result_rows(each)]
)
def test_results_are_those_of_the_report(document, name):
    cells = result_rows(document)[name]
    stages = json.loads((ROOT / "reports" / name / "report.json").read_text("utf-8"))["stages"]
    before, after = stages[0], stages[-1]
    assert cells["bytes"] == f"{after['file_bytes']:,}"
    assert abs(float(cells["KL"]) - after["fidelity"]["divergence_nats"]["value"]) < 0.00051
    for column in {"top-1", "top-5"} if after["accuracy"] else set():
        shown = re.findall(r"[\d.]+", cells[column])
        found = [each["accuracy"][column.replace("-", "")]["value"] for each in (before, after)]
        assert [float(each) for each in shown] == pytest.approx([100 * each for each in found], abs=0.051), column


def test_the_row_of_a_built_in_model_in_the_readme_is_that_of_the_model():
    text = (ROOT / "README.md").read_text("utf-8")
    row = r"^\| \[`([\w-]+)`\]\(docs/models/\S+\) \| ([\d,]+) \| .*? \| (.*?)% \| (.*?)% \| (.*?) \|$"
    found = re.findall(row, text, re.MULTILINE)
    assert [name for name, *_ in found] == ["squeezenet"]  # what `make run` makes; its report has no labels
    for name, file_bytes, top1, top5, divergence in found:
        model = builtin_models()[name]
        assert file_bytes == f"{model.file_bytes:,}"
        assert top1 == f"{model.float_top1:.1%} → {model.top1:.1%}".replace("%", "")
        assert top5 == f"{model.float_top5:.1%} → {model.top5:.1%}".replace("%", "")
        assert divergence == f"{model.divergence_nats:.3f}"


def test_the_list_of_decisions_has_their_titles():
    folder = ROOT / "docs" / "decisions"
    listed = dict(re.findall(r"^- \[(.+)\]\((.+)\)$", (folder / "README.md").read_text("utf-8"), re.MULTILINE))
    pages = {path.read_text("utf-8").splitlines()[0].removeprefix("# "): path.name for path in folder.glob("0*.md")}
    assert listed == pages


def test_the_readme_is_read_in_three_minutes():
    assert len((ROOT / "README.md").read_text("utf-8").split()) <= 600
