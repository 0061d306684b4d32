"""Charts of the search page and of the sensitivity page, in the style of the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from compress.report.formatting import MINUS, abbreviate, kilobytes, nats
from compress.report.svg import color, new_figure, to_svg
from compress.search.search_record import SearchRecord, TrialRecord
from compress.search.sensitivity import Scan

_MIN_NATS = 1e-5
"""Smaller divergences are drawn here: a logarithmic axis has no zero."""


@dataclass(frozen=True)
class TrialMetric:
    """The vertical axis of a chart of trials.

    Attributes:
        key: name of the chart on the page.
        title: label of the axis.
        of: the metric of a trial; None if it was not measured.
        log: whether the axis is logarithmic.
        tick: text of a value on the axis.
    """

    key: str
    title: str
    of: Callable[[TrialRecord], float | None]
    log: bool
    tick: Callable[[float], str]


def _divergence(trial: TrialRecord) -> float | None:
    return None if trial.divergence_nats is None else max(trial.divergence_nats, _MIN_NATS)


def _drop_points(trial: TrialRecord) -> float | None:
    return None if trial.top1_drop is None else trial.top1_drop * 100


TRIAL_METRICS = (
    TrialMetric("pareto", "KL divergence from the float network, nats", _divergence, True, nats),
    TrialMetric(
        "drop", "Drop of top-1, percentage points", _drop_points, False, lambda drop: f"{drop:.3g}".replace("-", MINUS)
    ),
)


def draw_trials(drawn: tuple[SearchRecord, TrialMetric], width: float, name: str) -> str:
    """Draw each trial with known final bytes as a dot: its bytes and a metric."""
    record, metric = drawn
    height, left, below, above = 380.0, 52.0, 46.0, 26.0
    figure, axes = _axes(width, height, left, below, 12, above)
    dots = {
        trial.number: (float(trial.file_bytes or 0), value)
        for trial in record.trials
        if trial.is_final_bytes and (value := metric.of(trial)) is not None
    }
    _draw_dots(axes, record, metric, dots)
    _draw_limits(axes, record, metric)
    if metric.log:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5), numticks=12))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: metric.tick(value)))
    axes.xaxis.set_major_locator(MaxNLocator(4 if width < 500 else 8))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: kilobytes(value)))
    axes.margins(0.06)
    axes.grid(color=color("rule"), linewidth=1)
    axes.tick_params(which="both", color=color("rule"), labelcolor=color("muted"), labelsize=11)
    figure.text(0, 1 - 14 / height, abbreviate(metric.title, 48), color=color("muted"), fontsize=11)
    figure.text(1 - 8 / width, 6 / height, "bytes of the file", ha="right", color=color("muted"), fontsize=11)
    return to_svg(figure, name, f"{metric.title}, over the bytes of the file, for each trial")


def draw_scan(drawn: tuple[Scan, str], width: float, name: str) -> str:
    """Draw the divergences of each layer at all settings of one pass."""
    scan, kind = drawn
    indices = [index for index, setting in enumerate(scan.settings) if setting.kind == kind]
    row, left, below, right = 22.0, 150.0, 30.0, 14.0
    figure, axes = _axes(width, row * len(scan.layers) + below, left, below, right, 0)
    axes.set(ylim=(len(scan.layers) - 0.5, -0.5), yticks=[])
    axes.set_xscale("log")
    for place, layer in enumerate(scan.layers):
        values = [max(layer.divergences[index], _MIN_NATS) for index in indices]
        axes.plot([min(values), max(values)], [place, place], color=color("pale"), linewidth=3, zorder=1)
        for value, tone in zip(values, _tones(len(values)), strict=True):
            axes.plot([value], [place], "o", color=color(tone), markersize=7, clip_on=False, zorder=2)
        label = abbreviate(layer.name.removesuffix(".weight"), 22)
        axes.text(-left / (width - left - right), place, label, va="center", fontsize=11, color=color("muted"),
                  transform=axes.get_yaxis_transform())  # fmt: skip
    axes.xaxis.set_major_locator(LogLocator(10, numticks=6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: nats(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x", color=color("rule"), linewidth=1)
    verb = "pruned" if kind == "prune" else "shared"
    return to_svg(figure, name, f"KL divergence, nats, of each layer if it alone is {verb}")


def _axes(width: float, height: float, left: float, below: float, right: float, above: float) -> tuple[Figure, Axes]:
    """Return a figure and its axes; sizes and margins in CSS pixels."""
    figure = new_figure(width, height)
    extent = (left / width, below / height, (width - left - right) / width, (height - below - above) / height)
    axes = figure.add_axes(extent)
    axes.set_axisbelow(True)
    return figure, axes


def _draw_dots(axes: Axes, record: SearchRecord, metric: TrialMetric, dots: dict[int, tuple[float, float]]) -> None:
    for state, tone, area in (("pruned", "pale", 22.0), ("measured", "accent", 34.0)):
        _scatter(axes, [dots[t.number] for t in record.trials if t.number in dots and t.state == state], tone, area)
    if metric.key == "pareto" and len(record.pareto_front) > 1:
        front = np.array([dots[number] for number in record.pareto_front])
        axes.plot(front[:, 0], front[:, 1], color=color("accent"), linewidth=1.2, drawstyle="steps-post", zorder=1)
    if record.winner in dots:
        _scatter(axes, [dots[record.winner]], "second", 110.0)
    for trial in record.trials:
        if trial.origin == "pipeline" and trial.number in dots:
            x, y = dots[trial.number]
            axes.scatter([x], [y], s=120, facecolors="none", edgecolors=color("ink"), zorder=5)


def _draw_limits(axes: Axes, record: SearchRecord, metric: TrialMetric) -> None:
    if "bytes" in record.goal:
        axes.axvline(record.goal["bytes"], color=color("second"), linewidth=1, linestyle=(0, (3, 3)), zorder=0)
    if metric.key == "drop" and "max_top1_drop" in record.goal:
        axes.axhline(record.goal["max_top1_drop"], color=color("second"), linewidth=1, linestyle=(0, (3, 3)), zorder=0)


def _scatter(axes: Axes, dots: Sequence[tuple[float, float]], tone: str, area: float) -> None:
    axes.scatter([x for x, _ in dots], [y for _, y in dots], s=area, color=color(tone), linewidths=0, zorder=3)


def _tones(count: int) -> list[str]:
    """Return the colors of the settings, the mildest first."""
    strong = (count - 1) // 2
    return ["part-positions"] * (count - 1 - strong) + ["accent"] * strong + ["second"]
