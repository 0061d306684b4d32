"""The documentation site: its navigation, the pages made from the program, and the check of its links."""

from __future__ import annotations

import pkgutil
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from compress.cli.main import main
from compress.configuration.json_schema import pipeline_schema
from compress.passes import PASSES
from documentation.__main__ import gather_pages
from documentation.commands_page import commands_page
from documentation.diagrams import DRAWINGS
from documentation.link_check import broken_links
from documentation.schema_page import schema_page

ROOT = Path(__file__).parents[2]


def navigation() -> set[str]:
    def pages(entries: list[dict]) -> Iterator[str]:
        for entry in entries:
            for value in entry.values():
                yield from [value] if isinstance(value, str) else pages(value)

    return set(pages(tomllib.loads((ROOT / "documentation" / "zensical.toml").read_text("utf-8"))["project"]["nav"]))


def test_the_navigation_has_every_page():
    written = {str(path.relative_to(ROOT)) for path in ROOT.glob("docs/*.md")}
    assert written == {page for page in navigation() if re.fullmatch(r"docs/[^/]+", page)}
    made = {page for page in navigation() if page.startswith("docs/reference/")}
    assert all((ROOT / page).is_file() for page in navigation() - made)


def test_the_help_texts_are_those_of_all_commands():
    page = commands_page(main)
    assert [name for name in main.commands if f"## `squeeze-compress {name}`" not in page] == []
    assert "## `squeeze-compress cache list`" in page
    assert "Usage: squeeze-compress run [OPTIONS] [PIPELINE]" in page
    assert "-h, --help" in page


def test_the_schema_page_has_a_section_for_each_pass_and_a_row_for_each_key():
    page = schema_page("Pipelines", pipeline_schema())
    for name in PASSES:
        assert f"## stages: {name}\n" in page
    assert "| `bits` | integer from 1 to 12 | `5` |" in page
    assert "| `max_divergence` | number from 0 |" in page
    assert "| `flip` | boolean | `true` |" in page
    assert "`True`" not in page  # YAML, not Python


def test_the_python_page_shows_objects_that_exist(tmp_path):
    gather_pages(tmp_path)
    shown = re.findall(r"^::: (\S+)", (tmp_path / "docs" / "reference" / "python.md").read_text("utf-8"), re.MULTILINE)
    assert len(shown) > 2
    for name in shown:
        assert pkgutil.resolve_name(name), name


def test_the_pages_have_drawings_in_place_of_mermaid_diagrams(tmp_path):
    gather_pages(tmp_path)
    drawn = 0
    for page in tmp_path.rglob("*.md"):
        text = page.read_text("utf-8")
        assert "```mermaid" not in text, page
        names = re.findall(r"!\[Diagram]\((.+)\)", text)
        assert all((page.parent / name).is_file() for name in names), f"{page}: see documentation/diagrams/__init__.py"
        drawn += len(names)
    assert drawn == len(list(DRAWINGS.glob("*.svg"))), "a drawing of no page"


@pytest.mark.parametrize("drawing", sorted(DRAWINGS.glob("*.svg")), ids=lambda path: path.stem)
def test_words_in_a_drawing_can_be_read_in_the_column_of_a_page(drawing):
    width = re.search(r'viewBox="0 0 ([\d.]+) ', drawing.read_text("utf-8"))
    assert width
    assert 16 * min(700 / float(width[1]), 1) >= 11  # pixels of a letter


@pytest.mark.parametrize("link", ["none.html", "b.html#none", "none.svg", "."])
def test_a_link_without_a_target_is_found(link, tmp_path):
    (tmp_path / "a.html").write_text(
        f'<a href="{link}">x</a> <a href="b.html#there">y</a> <a href="https://c.d/e">z</a>'
    )
    (tmp_path / "b.html").write_text('<h1 id="there">b</h1><a href="#there">c</a>')
    assert list(broken_links(tmp_path)) == [f"a.html: {link}"]
