"""`search.html` and `sensitivity.html`: self-contained pages in the style of the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from markupsafe import Markup
from matplotlib.ticker import FuncFormatter, MaxNLocator

from compress.report.formatting import abbreviate_path, kilobytes, nats
from compress.report.html import load_template
from compress.report.record import RunRecord
from compress.report.svg import chart_style, color, label_powers, lowest_nats, new_figure, to_svg
from compress.runtime.atomic_files import write_files_atomically
from compress.search.search_record import SearchRecord
from compress.search.sensitivity import Scan

_WIDTH = 480.0
"""CSS pixels: a phone shows the charts a third smaller."""

_TONES = ("part-positions", "part-positions", "accent", "accent", "second")
"""Colors of the settings of a pass, the mildest first."""


def search_to_html(record: SearchRecord, run: RunRecord) -> str:
    """Return the page of a search; `run` is the winner's run."""
    with chart_style():
        chart = _draw_trials(record)
    winner = record.trial(record.winner)
    return load_template("search.html").render(record=record, run=run, winner=winner, chart=chart, components=())


def scan_to_html(scan: Scan) -> str:
    """Return the page of a sensitivity scan."""
    with chart_style():
        charts = {kind: _draw_scan(scan, kind) for kind in ("prune", "share")}
    return load_template("sensitivity.html").render(scan=scan, charts=charts, components=())


def write_scan(scan: Scan, folder: Path) -> Path:
    """Write `sensitivity.json` and `sensitivity.html`; return the path of the page."""
    files = {"sensitivity.json": scan.to_json().encode(), "sensitivity.html": scan_to_html(scan).encode()}
    write_files_atomically(folder, files)
    return folder / "sensitivity.html"


def _draw_trials(record: SearchRecord) -> Markup:
    """Draw each trial with known final bytes as a dot: its bytes and its divergence."""
    figure = new_figure(_WIDTH, 380)
    axes = figure.add_axes((0.12, 0.14, 0.86, 0.78))
    lowest = lowest_nats(trial.divergence_nats or 0.0 for trial in record.trials)
    dots = {
        trial.number: (float(trial.file_bytes or 0), max(trial.divergence_nats, lowest))
        for trial in record.trials
        if trial.is_final_bytes and trial.divergence_nats is not None
    }
    for numbers, area, fill, edge in (
        ([trial.number for trial in record.trials if trial.state == "pruned"], 22, color("pale"), "none"),
        ([trial.number for trial in record.trials if trial.state == "measured"], 34, color("accent"), "none"),
        ([record.winner], 110, color("second"), "none"),
        ([trial.number for trial in record.trials if trial.origin == "pipeline"], 120, "none", color("ink")),
    ):
        points = np.array([dots[number] for number in numbers if number in dots]).reshape(-1, 2)
        axes.scatter(points[:, 0], points[:, 1], s=area, facecolors=fill, edgecolors=edge, zorder=3)
    front = np.array([dots[number] for number in record.pareto_front]).reshape(-1, 2)
    axes.plot(front[:, 0], front[:, 1], color=color("accent"), linewidth=1.2, drawstyle="steps-post", zorder=1)
    if "bytes" in record.goal:
        axes.axvline(record.goal["bytes"], color=color("second"), linewidth=1, linestyle=(0, (3, 3)), zorder=0)
    axes.set_yscale("log")
    label_powers(axes.yaxis, nats, (1, 2, 5), 7)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: kilobytes(value)))
    axes.margins(0.06)
    axes.grid(color=color("rule"), linewidth=1)
    axes.tick_params(which="both", color=color("rule"), labelcolor=color("muted"), labelsize=11)
    axes.set_title("KL divergence from the float network, nats", loc="left", fontsize=11, color=color("muted"))
    axes.set_xlabel("bytes of the file", loc="right", fontsize=11, color=color("muted"))
    return Markup(to_svg(figure, "trials-chart", "Divergence over the bytes of the file, for each trial"))


def _draw_scan(scan: Scan, kind: str) -> Markup:
    """Draw the divergences of each layer at all settings of one pass."""
    indices = [index for index, setting in enumerate(scan.settings) if setting.kind == kind]
    divergences = np.array([layer.divergences for layer in scan.layers])[:, indices]
    is_finite = np.isfinite(divergences)
    values = np.where(is_finite, np.maximum(divergences, lowest_nats(divergences[is_finite])), np.nan)  # NaN: not drawn
    rows = np.arange(len(scan.layers))
    height = 22.0 * len(rows) + 30
    figure = new_figure(_WIDTH, height)
    axes = figure.add_axes((0.32, 30 / height, 0.65, 1 - 30 / height), xscale="log", ylim=(len(rows) - 0.5, -0.5))
    if len(distinct := np.unique(values[np.isfinite(values)])) == 1:  # an axis needs two ends
        axes.set_xlim(distinct[0] / 2, distinct[0] * 2)
    ends = np.fmin.reduce(values, axis=1), np.fmax.reduce(values, axis=1)
    axes.hlines(rows, *ends, colors=color("pale"), linewidth=3, zorder=1)
    for index, column in enumerate(values.T):
        tone = _TONES[round((len(_TONES) - 1) * index / max(len(indices) - 1, 1))]
        axes.scatter(column, rows, s=49, color=color(tone), linewidths=0, clip_on=False, zorder=2)
    names = [abbreviate_path(layer.name.removesuffix(".weight"), 22) for layer in scan.layers]
    axes.set_yticks(rows, names, fontsize=11, color=color("muted"))
    axes.tick_params(axis="y", length=0)
    label_powers(axes.xaxis, nats, max_ticks=7)
    axes.grid(axis="x", color=color("rule"), linewidth=1)
    return Markup(to_svg(figure, f"{kind}-chart", f"KL divergence in nats after the pass {kind} on each layer alone"))
