"""Build the site: gather the pages, and let Zensical render them. A warning, such as a broken link, is an error.

The pages keep the folders of the repository, so that links work in both.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from documentation.commands_page import commands_page
from documentation.diagrams import DRAWINGS, diagrams, with_drawings
from documentation.link_check import broken_links
from documentation.schema_page import schema_page

_ROOT = Path(__file__).resolve().parents[1]
_LINK = re.compile(r"\]\(([^)#:\s]+)[^)\s]*\)")
"""A link of a page to a file."""

_PYTHON_PAGE = """\
# Python API

::: compress
    options:
      members: [{names}]

::: compress.pipeline.runner.RunResult

::: compress.evaluation.comparison_record.ModelComparison
"""


def gather_pages(folder: Path) -> None:
    """Copy the pages, and the files that they link to, into an empty folder; write the pages of `docs/reference`."""
    shutil.rmtree(folder, ignore_errors=True)
    waiting = {_ROOT / "README.md", *filter(Path.is_file, (_ROOT / "docs").rglob("*"))}
    copied: set[Path] = set()
    while waiting:
        path = waiting.pop()
        copy = folder / path.relative_to(_ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
        if path.suffix == ".md":
            _draw_diagrams(copy)
        copied.add(path)
        waiting |= {target for target in _linked_files(path) if target not in copied}
    (folder / "docs" / "reference").mkdir()
    for name, page in _reference_pages().items():
        (folder / "docs" / "reference" / name).write_text(page, "utf-8")


def _draw_diagrams(page: Path) -> None:
    text = page.read_text("utf-8")
    for name in diagrams(text):
        shutil.copy(DRAWINGS / name, page.parent)
    page.write_text(with_drawings(text), "utf-8")


def _linked_files(path: Path) -> Iterator[Path]:
    if path.suffix == ".md":
        targets = ((path.parent / link).resolve() for link in _LINK.findall(path.read_text("utf-8")))
        yield from (target for target in targets if target.is_file() and target.is_relative_to(_ROOT))


def _reference_pages() -> dict[str, str]:
    import compress  # noqa: PLC0415
    from compress.cli.main import main  # noqa: PLC0415
    from compress.configuration.json_schema import pipeline_schema  # noqa: PLC0415
    from compress.report.report_json import json_schema  # noqa: PLC0415

    return {
        "commands.md": commands_page(main),
        "python.md": _PYTHON_PAGE.format(names=", ".join(compress.__all__)),
        "pipeline-schema.md": schema_page("Schema of pipelines", pipeline_schema()),
        "report-schema.md": schema_page("Schema of report.json", json.loads(json_schema())),
    }


def build(folder: Path) -> int:
    """Write the site into `folder/site`; return the exit code, 1 if there are warnings or broken links."""
    gather_pages(folder / "pages")
    shutil.copy(_ROOT / "documentation" / "zensical.toml", folder)
    shutil.copy(_ROOT / "documentation" / "site.css", folder / "pages")
    zensical = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    if subprocess.run(zensical, cwd=folder, check=False).returncode:
        return 1
    broken = list(broken_links(folder / "site"))
    print(*broken, f"{len(broken)} broken links", sep="\n")
    return bool(broken)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/docs"), help="folder for pages/ and site/ [out/docs]")
    sys.exit(build(parser.parse_args().out))
