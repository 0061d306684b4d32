"""Self-contained pages in the style of the report: runs side by side, and the index of a folder of runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args
from urllib.parse import quote

import numpy as np
from markupsafe import Markup

from compress.report import breakdown
from compress.report.comparison.paired_runs import validation_fingerprint
from compress.report.comparison.peers import peers_of
from compress.report.comparison.rate_curve import Metric, draw_curve
from compress.report.comparison.run_comparison import RunComparison, comparability_warnings, compare_runs
from compress.report.comparison.run_figures import RunFigures, figures_of
from compress.report.comparison.run_files import NamedRun, RunIndex
from compress.report.comparison.verdict import verdict
from compress.report.formatting import abbreviate_path, kilobytes
from compress.report.html import load_template
from compress.report.record import RunRecord
from compress.report.svg import chart_style, color, label_powers, new_figure, to_svg
from compress.runtime.file_names import escape_undecodable

_WIDTH = 440.0


@dataclass(frozen=True)
class _Mark:
    """The mark of a run in the chart of layers.

    Attributes:
        marker: of matplotlib.
        color: CSS variable of the page.
        path: the same mark in the legend, in a square from -6 to 6.
    """

    marker: str
    color: str
    path: str


_MARKS = (
    _Mark("s", "muted", "M-4-4h8v8h-8z"),
    _Mark("o", "accent", "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0"),
    _Mark("D", "second", "M0-5.5L5.5 0 0 5.5-5.5 0z"),
    _Mark("^", "part-positions", "M0-5L5 4.5h-10z"),
)
_MAX_RUNS_BY_LAYER = len(_MARKS)
"""More runs have no chart of layers: their marks would hide each other."""


def comparison_to_html(runs: Sequence[NamedRun], folder: Path) -> str:
    """Return the page of two or more runs; links lead from `folder`, where the page will be, to the runs' reports."""
    comparison, records = compare_runs(runs), [run.record for run in runs]
    return load_template("comparison.html").render(
        comparison=comparison,
        records=records,
        links=[_link(run, folder) for run in runs],
        verdict=verdict(comparison.runs[0], comparison.runs[1], comparison.paired),
        layer_chart=_layer_chart(comparison),
        layer_marks=list(zip(comparison.runs, _MARKS, strict=False)),
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
    comparable = [(record.weights_sha256, validation_fingerprint(record)) for record in records]
    with chart_style():
        curves = [draw_curve(runs, peers, metric, comparable) for metric in metrics]
    return {"curves": curves, "peers": peers, "components": ()}


@chart_style()
def _layer_chart(comparison: RunComparison) -> Markup | None:
    """Draw a row for each layer with a mark for each run: the bytes of its weights; None for too many runs."""
    layers, runs = comparison.layers, comparison.runs
    if len(runs) > _MAX_RUNS_BY_LAYER or not layers:
        return None
    counts = np.array([[np.nan if count is None else max(count, 1) for count in layer.byte_counts] for layer in layers])
    rows, height = np.arange(len(layers)), 22.0 * len(layers) + 40
    figure = new_figure(_WIDTH, height)
    axes = figure.add_axes((0.32, 30 / height, 0.64, 1 - 40 / height), xscale="log", ylim=(len(rows) - 0.5, -0.5))
    axes.hlines(rows, np.nanmin(counts, axis=1), np.nanmax(counts, axis=1), colors=color("pale"), linewidth=3, zorder=1)
    for column, mark in zip(counts.T, _MARKS, strict=False):
        axes.scatter(column, rows, s=42, marker=mark.marker, color=color(mark.color), linewidths=0, clip_on=False,
                     zorder=2)  # fmt: skip
    axes.set_yticks(rows, [abbreviate_path(layer.name, 22) for layer in layers], fontsize=11, color=color("muted"))
    axes.tick_params(axis="y", length=0)
    label_powers(axes.xaxis, kilobytes)
    axes.grid(axis="x", color=color("rule"), linewidth=1)
    return Markup(to_svg(figure, "layers-chart", "Bytes of the weights of each layer, in each run"))


def _file_parts(records: Sequence[RunRecord]) -> list[tuple[breakdown.FileComponent, list[int]]]:
    """Return the components of the files that have bytes in any run, with the bytes in each."""
    columns = [breakdown.file_components(record.file) for record in records]
    rows = [(parts[0], [part.byte_count for part in parts]) for parts in zip(*columns, strict=True)]
    return [(component, counts) for component, counts in rows if any(counts)]


def _link(run: NamedRun, folder: Path) -> str | None:
    """Return the address of a run's page; None if there is none."""
    page = run.file.with_name("report.html")
    return quote(os.path.relpath(page.resolve(), folder.resolve())) if page.exists() else None
