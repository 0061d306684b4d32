"""Build the site: gather the pages, and let Zensical render them. A warning, such as a broken link, is an error.

The pages keep the folders of the repository, so that links work in both.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

from documentation.commands_page import commands_page
from documentation.link_check import broken_links
from documentation.schema_page import schema_page

_ROOT = Path(__file__).parents[1]
_PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs", "reports", "runtime/c", "compress/evaluation")
"""What the site shows, and the files that its pages link to."""

_PYTHON_PAGE = """\
# Python API

::: compress
    options:
      members: [load, read, run, compare]

::: compress.pipeline.RunResult

::: compress.evaluation.comparison_record.ModelComparison
"""


def gather_pages(folder: Path) -> None:
    """Copy the pages into an empty folder, and write the reference pages into its `docs/reference`."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in _PAGES:
        copy = shutil.copytree if (_ROOT / name).is_dir() else shutil.copy
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy(_ROOT / name, folder / name)
    reference = folder / "docs" / "reference"
    reference.mkdir()
    for name, page in _reference_pages().items():
        (reference / name).write_text(page, "utf-8")


def _reference_pages() -> dict[str, str]:
    from compress.cli.main import main  # noqa: PLC0415
    from compress.pipeline.json_schema import pipeline_schema  # noqa: PLC0415
    from compress.report.report_json import json_schema  # noqa: PLC0415

    return {
        "commands.md": commands_page(main),
        "python.md": _PYTHON_PAGE,
        "pipeline-schema.md": schema_page("Schema of pipelines", pipeline_schema()),
        "report-schema.md": schema_page("Schema of report.json", json.loads(json_schema())),
    }


def build(folder: Path) -> int:
    """Write the site into `folder/site`; return the exit code, 1 if there are warnings or broken links."""
    gather_pages(folder / "pages")
    shutil.copy(_ROOT / "documentation" / "zensical.toml", folder)
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
