"""Self-contained pages in the style of the report: runs side by side, and the index of a folder of runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import get_args
from urllib.parse import quote

import numpy as np
from markupsafe import Markup

from compress.report import breakdown
from compress.report.comparison.peers import peers_of
from compress.report.comparison.rate_curve import Metric, draw_curve
from compress.report.comparison.run_comparison import RunComparison, comparability_warnings, compare_runs
from compress.report.comparison.run_figures import RunFigures, figures_of
from compress.report.comparison.run_files import NamedRun, RunIndex
from compress.report.comparison.verdict import verdict
from compress.report.formatting import abbreviate, kilobytes
from compress.report.html import load_template
from compress.report.record import RunRecord
from compress.report.svg import chart_style, color, label_powers, new_figure, to_svg
from compress.runtime.file_names import escape_undecodable

_WIDTH = 440.0
_MARKS = (("s", "muted"), ("o", "accent"), ("D", "second"), ("^", "part-positions"))
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


@chart_style()
def _layer_chart(comparison: RunComparison) -> Markup | None:
    """Draw a row for each layer with a mark for each run: the bytes of its weights; None for too many runs."""
    layers, runs = comparison.layers, comparison.runs
    if len(runs) > _MAX_RUNS_BY_LAYER or not layers:
        return None
    counts = np.array([[np.nan if count is None else max(count, 1) for count in layer.byte_counts] for layer in layers])
    rows, height = np.arange(len(layers)), 22.0 * len(layers) + 60
    figure = new_figure(_WIDTH, height)
    axes = figure.add_axes((0.32, 30 / height, 0.64, 1 - 60 / height), xscale="log", ylim=(len(rows) - 0.5, -0.5))
    axes.hlines(rows, np.nanmin(counts, axis=1), np.nanmax(counts, axis=1), colors=color("pale"), linewidth=3, zorder=1)
    for run, column, (marker, tone) in zip(runs, counts.T, _MARKS, strict=False):
        axes.scatter(column, rows, s=42, marker=marker, color=color(tone), linewidths=0, clip_on=False, zorder=2,
                     label=abbreviate(run.name, max(14, 46 // len(runs))))  # fmt: skip
    axes.set_yticks(rows, [abbreviate(layer.name, 22) for layer in layers], fontsize=11, color=color("muted"))
    axes.tick_params(axis="y", length=0)
    label_powers(axes.xaxis, kilobytes)
    axes.grid(axis="x", color=color("rule"), linewidth=1)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.5, 1), ncols=len(runs), frameon=False, borderpad=0, fontsize=11,
                handletextpad=0.2, columnspacing=1.2)  # fmt: skip
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
