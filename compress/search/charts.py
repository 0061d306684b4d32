"""Charts of a search and of a scan, drawn as those of the report are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from compress.report.formatting import MINUS, kilobytes, nats, short
from compress.report.svg import colour, figure, inline
from compress.search.record import SearchRecord, TrialRecord
from compress.search.sensitivity import Scan

_LEAST_NATS = 1e-5
"""Divergences below are drawn there: an axis of logarithms has no zero."""


@dataclass(frozen=True)
class Measure:
    """What a chart of trials shows over the bytes.

    Attributes:
        key: names the chart on the page.
        title: in words.
        of: the measure of a trial, as it is drawn; None where it was not measured.
        log: whether the axis is of logarithms.
        tick: a value of the axis in words.
    """

    key: str
    title: str
    of: Callable[[TrialRecord], float | None]
    log: bool
    tick: Callable[[float], str]


def _divergence(trial: TrialRecord) -> float | None:
    return None if trial.divergence_nats is None else max(trial.divergence_nats, _LEAST_NATS)


def _points(trial: TrialRecord) -> float | None:
    return None if trial.top1_lost is None else trial.top1_lost * 100


MEASURES = (
    Measure("pareto", "KL divergence from the float network, nats", _divergence, True, nats),
    Measure("drop", "Top-1 lost, percentage points", _points, False, lambda lost: f"{lost:.3g}".replace("-", MINUS)),
)


def trials_over_bytes(shown: tuple[SearchRecord, Measure], width: float, name: str) -> str:
    """Draw every trial whose file was judged as a dot: its bytes, and how far it is from the float network."""
    record, measure = shown
    height, left, below, above = 380.0, 52.0, 46.0, 26.0
    drawing = figure(width, height)
    size = ((width - left - 12) / width, (height - below - above) / height)
    axes = drawing.add_axes((left / width, below / height, *size))
    dots = {
        trial.number: (float(trial.file_bytes or 0), value)
        for trial in record.trials
        if trial.settled and (value := measure.of(trial)) is not None
    }
    for state, tone, area in (("pruned", "pale", 22.0), ("measured", "accent", 34.0)):
        _scatter(axes, [dots[t.number] for t in record.trials if t.number in dots and t.state == state], tone, area)
    if measure.key == "pareto" and len(record.front) > 1:
        along = np.array([dots[number] for number in record.front])
        axes.plot(along[:, 0], along[:, 1], color=colour("accent"), linewidth=1.2, drawstyle="steps-post", zorder=1)
    if record.winner in dots:
        _scatter(axes, [dots[record.winner]], "second", 110.0)
    for own in [dots[trial.number] for trial in record.trials if trial.origin == "pipeline" and trial.number in dots]:
        axes.scatter([own[0]], [own[1]], s=120, facecolors="none", edgecolors=colour("ink"), zorder=5)
    if "bytes" in record.goal:
        axes.axvline(record.goal["bytes"], color=colour("second"), linewidth=1, linestyle=(0, (3, 3)), zorder=0)
    if measure.key == "drop" and "max_top1_drop" in record.goal:
        axes.axhline(record.goal["max_top1_drop"], color=colour("second"), linewidth=1, linestyle=(0, (3, 3)), zorder=0)
    if measure.log:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5), numticks=12))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: measure.tick(value)))
    axes.xaxis.set_major_locator(MaxNLocator(4 if width < 500 else 8))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: kilobytes(value)))
    axes.margins(0.06)
    axes.grid(color=colour("rule"), linewidth=1)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", color=colour("rule"), labelcolor=colour("muted"), labelsize=11)
    drawing.text(0, 1 - 14 / height, short(measure.title, 48), color=colour("muted"), fontsize=11)
    drawing.text(1 - 8 / width, 6 / height, "bytes of the file", ha="right", color=colour("muted"), fontsize=11)
    return inline(drawing, name, f"{measure.title}, of each trial over the bytes of its file")


def _scatter(axes: Axes, dots: Sequence[tuple[float, float]], tone: str, area: float) -> None:
    across, up = [dot[0] for dot in dots], [dot[1] for dot in dots]
    axes.scatter(across, up, s=area, color=colour(tone), linewidths=0, zorder=3)


def layers_of_a_scan(shown: tuple[Scan, str], width: float, name: str) -> str:
    """Draw for each layer its divergence at every setting of one pass."""
    found, kind = shown
    places = [place for place, setting in enumerate(found.settings) if setting.kind == kind]
    row, left, below = 22.0, 150.0, 30.0
    height = row * len(found.layers) + below
    drawing = figure(width, height)
    size = ((width - left - 14) / width, row * len(found.layers) / height)
    axes = drawing.add_axes((left / width, below / height, *size))
    axes.set(ylim=(len(found.layers) - 0.5, -0.5), yticks=[])
    axes.set_xscale("log")
    across = axes.get_yaxis_transform()
    for index, layer in enumerate(found.layers):
        values = [max(layer.divergences[place], _LEAST_NATS) for place in places]
        axes.plot([min(values), max(values)], [index, index], color=colour("pale"), linewidth=3, zorder=1)
        for value, tone in zip(values, _tones(len(values)), strict=True):
            axes.plot([value], [index], "o", color=colour(tone), markersize=7, clip_on=False, zorder=2)
        label = short(layer.name.removesuffix(".weight"), 22)
        axes.text(-left / (width - left - 14), index, label, va="center", fontsize=11, color=colour("muted"),
                  transform=across)  # fmt: skip
    axes.xaxis.set_major_locator(LogLocator(10, numticks=6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: nats(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x", color=colour("rule"), linewidth=1)
    axes.set_axisbelow(True)
    what = "pruned" if kind == "prune" else "shared"
    return inline(drawing, name, f"KL divergence, nats, where a layer alone is {what}, layer by layer")


def _tones(count: int) -> list[str]:
    """Return colours from the least that is done to a layer to the most."""
    return ["part-positions"] * (count - 1 - (count - 1) // 2) + ["accent"] * ((count - 1) // 2) + ["second"]
