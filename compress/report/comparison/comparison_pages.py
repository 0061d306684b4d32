"""Self-contained pages in the style of the report: runs side by side, and the index of a folder of runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import get_args
from urllib.parse import quote

from markupsafe import Markup

from compress.report import breakdown
from compress.report.comparison.comparability import comparability_warnings
from compress.report.comparison.layer_chart import MAX_RUNS_BY_LAYER, draw_layers
from compress.report.comparison.peers import peers_of
from compress.report.comparison.rate_curve import Metric, draw_curve
from compress.report.comparison.run_comparison import RunComparison, compare_runs
from compress.report.comparison.run_figures import RunFigures, figures_of
from compress.report.comparison.run_files import NamedRun, RunIndex
from compress.report.comparison.verdict import verdict
from compress.report.html import load_template
from compress.report.record import RunRecord
from compress.report.svg import chart_style
from compress.runtime.file_names import escape_undecodable


def comparison_to_html(runs: Sequence[NamedRun], folder: Path) -> str:
    """Return the page of two or more runs; links lead from `folder`, where the page will be, to the runs' reports."""
    comparison, records = compare_runs(runs), [run.record for run in runs]
    return load_template("comparison.html").render(
        comparison=comparison,
        records=records,
        links=[_link(run, folder) for run in runs],
        verdict=verdict(comparison.runs[0], comparison.runs[1], comparison.paired),
        layer_chart=_layer_chart(comparison),
        file_parts=_file_parts(records),
        **_curves(comparison.runs, records),
    )


def index_to_html(index: RunIndex, folder: Path) -> str:
    """Return the page of a folder of runs, which will be in `folder`."""
    figures, records = [figures_of(run) for run in index.runs], [run.record for run in index.runs]
    return load_template("run_index.html").render(
        folder=escape_undecodable(index.folder.resolve().name),
        runs=figures,
        unreadable=index.unreadable,
        warnings=comparability_warnings(index.runs),
        links=[_link(run, folder) for run in index.runs],
        **_curves(figures, records),
    )


def _curves(runs: Sequence[RunFigures], records: Sequence[RunRecord]) -> dict[str, object]:
    peers = peers_of(records)
    metrics = [metric for metric in get_args(Metric) if any(getattr(run, metric) for run in runs)]
    with chart_style():
        curves = [draw_curve(runs, peers, metric) for metric in metrics]
    return {"curves": curves, "peers": peers, "components": ()}


def _layer_chart(comparison: RunComparison) -> Markup | None:
    if len(comparison.runs) > MAX_RUNS_BY_LAYER or not comparison.layers:
        return None
    with chart_style():
        return draw_layers(comparison.layers, comparison.runs)


def _file_parts(records: Sequence[RunRecord]) -> list[tuple[breakdown.FileComponent, list[int]]]:
    """Return the components of the files that have bytes in any run, with the bytes in each."""
    columns = [breakdown.file_components(record.file) for record in records]
    rows = [(parts[0], [part.byte_count for part in parts]) for parts in zip(*columns, strict=True)]
    return [(component, counts) for component, counts in rows if any(counts)]


def _link(run: NamedRun, folder: Path) -> str | None:
    """Return the address of a run's page; None if there is none."""
    page = run.file.with_name("report.html")
    return quote(os.path.relpath(page.resolve(), folder.resolve())) if page.exists() else None
