"""The command that renders reports again and lays runs side by side."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from compress.cli import console, options
from compress.errors import ConfigError
from compress.runtime.atomic_files import write_atomically

if TYPE_CHECKING:
    from compress.report.comparison.run_files import NamedRun, RunIndex

_SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"
_log = logging.getLogger(__name__)


@click.command()
@click.argument("paths", metavar="RUN...", nargs=-1, required=True, type=options.UserPath(path_type=Path))
@click.option(
    "--format", "form", type=click.Choice(["html", "md", "json", "junit"]), default="html", show_default=True,
    help="A page, a Markdown table, JSON, or the goals as JUnit XML.",
)  # fmt: skip
@click.option(
    "-o", "--output", type=options.NEW_FILE, help="File for the result.  [default: comparison.html; text: stdout]"
)
@click.option("--step-summary", is_flag=True, help="Also add the Markdown to the summary of a GitHub Actions step.")
def report(paths: tuple[Path, ...], form: str, output: Path | None, step_summary: bool) -> None:
    """Lay runs side by side, or render a report again.

    RUN is the folder of a run, or its report.json. With several, the first is the reference, and the page shows bytes
    and accuracy, settings that differ, layers, and paired statistics where the photos are the same. One run alone gets
    its report.html again. A folder of runs gets an index.html.

    Example: squeeze-compress report out/squeezenet out/squeezenet-300k
    """
    summary = _summary_file() if step_summary else None
    runs, index = _read(paths)
    if output and output.resolve() in [file.resolve() for run in runs for file in run.own_files]:
        raise ConfigError(
            "the result would replace a file of the run that it is made of; name another file", file=output
        )
    if form == "html":
        output, text = _page(runs, output, index)
    else:
        text = _text(runs, form)
    if output:
        write_atomically(output, text.encode())
        console.say(f"report: {output}")
    else:
        click.echo(text, nl=False)
    if summary:
        with summary.open("a", encoding="utf-8") as stream:
            stream.write(_text(runs, "md"))


def _read(paths: Sequence[Path]) -> tuple[Sequence[NamedRun], RunIndex | None]:
    """Return the runs, and the index if the only path is a folder of runs."""
    from compress.report.comparison.run_comparison import comparability_warnings  # noqa: PLC0415  imports pydantic
    from compress.report.comparison.run_files import read_index, read_runs  # noqa: PLC0415

    index = read_index(paths[0]) if len(paths) == 1 else None
    for each in index.unreadable if index else ():
        _log.warning("%s is left out: %s", each.name, each.reason)
    runs = index.runs if index else read_runs(paths)
    for warning in () if index else comparability_warnings(runs):
        _log.warning("%s", warning)
    return runs, index


def _page(runs: Sequence[NamedRun], output: Path | None, index: RunIndex | None) -> tuple[Path, str]:
    """Return the file of a page and its text."""
    from compress.report.comparison.comparison_pages import comparison_to_html, index_to_html  # noqa: PLC0415  slow
    from compress.report.html import to_html  # noqa: PLC0415

    if index:
        file = output or index.folder / "index.html"
        return file, index_to_html(index, file.parent)
    if len(runs) == 1:
        return output or runs[0].file.with_suffix(".html"), to_html(runs[0].record)
    file = output or Path("comparison.html")
    return file, comparison_to_html(runs, file.parent)


def _text(runs: Sequence[NamedRun], form: str) -> str:
    """Return runs as `md`, `json` or `junit`."""
    from compress.report.comparison.comparison_markdown import to_markdown  # noqa: PLC0415
    from compress.report.comparison.junit_xml import to_junit  # noqa: PLC0415
    from compress.report.comparison.run_comparison import compare_runs  # noqa: PLC0415

    if form == "junit":
        return to_junit(runs)
    comparison = compare_runs(runs)
    return to_markdown(comparison) if form == "md" else comparison.to_json()


def _summary_file() -> Path:
    if not (name := os.environ.get(_SUMMARY_VARIABLE)):
        raise ConfigError(
            f"the variable {_SUMMARY_VARIABLE} is not set; GitHub Actions sets it in each step. Elsewhere, print the "
            "same text with --format md",
            key="--step-summary",
        )
    return Path(name)
