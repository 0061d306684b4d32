"""`rate-accuracy.svg`: bytes against divergence, and against the change of top-1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import Bbox

from benchmarks.rate_accuracy_record import CLASSIC, NNCODEC, OURS, RateAccuracyPoint, RateAccuracyRecord
from compress.evaluation.results import Interval
from compress.report.formatting import MINUS, nats, percent
from compress.report.label_placement import Obstacle, PointLabel, Preference, place_labels
from compress.report.svg import chart_style, color, new_figure
from compress.report.svg import to_svg as to_svg_element

_WIDTH, _HEIGHT = 900.0, 790.0
_LEFT, _RIGHT = 62.0, 24.0
_PANELS = ((116.0, 300.0), (472.0, 260.0))
"""Top and height of each panel, pixels."""

_MIN_NATS = 1e-6
"""Value that stands for 0 on the logarithmic scale."""


@dataclass(frozen=True)
class ReferenceSize:
    """A published size or a target, drawn as a vertical line."""

    file_bytes: int
    text: str
    color: str


REFERENCE_SIZES = (
    ReferenceSize(660_000, "Deep Compression\n8 bit, 0.66 MB", "muted"),
    ReferenceSize(470_000, "Deep Compression\n6 bit, 0.47 MB", "muted"),
    ReferenceSize(240_000, "target\n240,000 bytes", "ink"),
)
"""Published sizes of SqueezeNet v1.0 (arXiv:1602.07360, table 2), and the target of this project."""


@dataclass(frozen=True)
class _SeriesStyle:
    series: str
    label: str
    color: str
    marker: str
    fill: str
    label_preference: Preference


_STYLES = (
    _SeriesStyle(OURS, OURS, "accent", "o", "full", "below"),
    _SeriesStyle(CLASSIC, "its classic recipe", "accent", "D", "none", "below"),
    _SeriesStyle(NNCODEC, "NNCodec (ISO/IEC 15938-17)", "second", "s", "full", "above"),
)


def to_svg(record: RateAccuracyRecord) -> str:
    """Return a standalone SVG file; run times do not change it."""
    points = record.points
    with chart_style():
        drawing = new_figure(_WIDTH, _HEIGHT)
        upper, lower = (_panel(drawing, top, height) for top, height in _PANELS)
        upper.set_yscale("log")
        for axes, of in ((upper, _divergence), (lower, _change)):
            _finish(axes, points)
            _draw(axes, points, of)
        _finish_divergence(upper)
        _finish_change(lower, record)
        for axes, of in ((upper, _divergence), (lower, _change)):
            _name(axes, points, of)
        title = "Bytes of the file against divergence from the float network, and against the change of top-1"
        return _standalone(to_svg_element(drawing, "rate-accuracy", title))


def _panel(drawing: Figure, top: float, height: float) -> Axes:
    left, bottom, wide = _LEFT / _WIDTH, 1 - (top + height) / _HEIGHT, 1 - (_LEFT + _RIGHT) / _WIDTH
    return drawing.add_axes((left, bottom, wide, height / _HEIGHT))


def _divergence(point: RateAccuracyPoint) -> Interval:
    interval = point.divergence_nats
    return Interval(*(max(end, _MIN_NATS) for end in (interval.value, interval.low, interval.high)))


def _change(point: RateAccuracyPoint) -> Interval:
    interval = point.top1.difference
    return Interval(interval.value * 100, interval.low * 100, interval.high * 100)


def _draw(axes: Axes, points: Sequence[RateAccuracyPoint], of: Callable[[RateAccuracyPoint], Interval]) -> None:
    """Draw each series as a line through its points, and each point on its interval."""
    for style in _STYLES:
        own = [point for point in points if point.series == style.series]
        if not own:
            continue
        tone, sizes = color(style.color), [point.file_bytes / 1000 for point in own]
        for size, point in zip(sizes, own, strict=True):
            axes.plot([size, size], [of(point).low, of(point).high], color=tone, linewidth=1.6, alpha=0.55)
        axes.plot(sizes, [of(point).value for point in own], style.marker, linestyle="-", color=tone, linewidth=1.8,
                  markersize=8, markeredgewidth=1.8, fillstyle=style.fill, label=style.label)  # fmt: skip


def _finish(axes: Axes, points: Sequence[RateAccuracyPoint]) -> None:
    """Give both panels the same horizontal scale and the reference lines."""
    file_bytes = [*(point.file_bytes for point in points), *(size.file_bytes for size in REFERENCE_SIZES)]
    sizes = [count / 1000 for count in file_bytes]
    margin = (max(sizes) - min(sizes)) * 0.09
    axes.set_xlim(max(min(sizes) - margin, 0), max(sizes) + margin)
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
    axes.tick_params(axis="x", length=0, pad=6)
    axes.tick_params(axis="y", length=0, pad=6, labelcolor=color("muted"), labelsize=11)
    axes.grid(axis="y", color=color("rule"), linewidth=1)
    axes.set_axisbelow(True)
    for reference in REFERENCE_SIZES:
        axes.axvline(reference.file_bytes / 1000, color=color(reference.color), linewidth=1, linestyle=(0, (3, 3)))


def _finish_divergence(axes: Axes) -> None:
    axes.yaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: nats(value)))
    low, high = axes.get_ylim()
    axes.set_ylim(low / 1.25, high * 1.1)
    _title(axes, "KL divergence from the float network, nats, on a logarithmic scale; lower is better", 52)
    for reference in REFERENCE_SIZES:
        axes.annotate(reference.text, (reference.file_bytes / 1000, 1), xycoords=axes.get_xaxis_transform(),
                      xytext=(0, 5), textcoords="offset points", ha="center", va="bottom", fontsize=11, linespacing=1.2,
                      color=color(reference.color), annotation_clip=False)  # fmt: skip
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1 + 82 / _PANELS[0][1]), ncols=len(_STYLES), frameon=False,
                borderpad=0, borderaxespad=0, handletextpad=0.5, columnspacing=2.4, fontsize=12)  # fmt: skip


def _finish_change(axes: Axes, record: RateAccuracyRecord) -> None:
    axes.yaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+g}".replace("-", MINUS) if value else "0"))
    axes.axhline(0, color=color("muted"), linewidth=1)
    baseline = percent(record.top1.value)
    _title(axes, f"Top-1 against the float network's {baseline}, points, with 95% intervals; higher is better", 14)
    axes.annotate("file, kB (1,000 bytes)", (1, 0), xycoords="axes fraction", xytext=(0, -26), ha="right", va="top",
                  textcoords="offset points", fontsize=11, color=color("muted"))  # fmt: skip


def _title(axes: Axes, text: str, above: float) -> None:
    axes.annotate(text, (0, 1), xycoords="axes fraction", xytext=(0, above), textcoords="offset points",
                  fontsize=13, weight="bold")  # fmt: skip


def _name(axes: Axes, points: Sequence[RateAccuracyPoint], of: Callable[[RateAccuracyPoint], Interval]) -> None:
    """Label the points where labels overlap neither each other nor the lines."""
    obstacles, labels = [], []
    for reference in REFERENCE_SIZES:
        obstacles += _along(axes, [(reference.file_bytes / 1000, y) for y in axes.get_ylim()], 1, 3)
    for style in _STYLES:
        own = [(point, of(point)) for point in points if point.series == style.series]
        obstacles += _along(axes, [(point.file_bytes / 1000, interval.value) for point, interval in own], 1, 12)
        for point, interval in own:
            x = point.file_bytes / 1000
            obstacles += _along(axes, [(x, interval.low), (x, interval.high)], 1, 8)
            obstacles += _along(axes, [(x, interval.value)], 6, 30)
            labels.append(PointLabel(short_name(point), x, interval.value, style.color, style.label_preference))
    place_labels(axes, labels, obstacles)


def short_name(point: RateAccuracyPoint) -> str:
    """Return the label of a point."""
    return point.name.replace("-", MINUS) if point.series == NNCODEC else point.name.removeprefix("squeezenet-")


def _along(axes: Axes, path: Sequence[tuple[float, float]], half: float, weight: float) -> list[Obstacle]:
    """Return boxes along a line as obstacles.

    Args:
        axes: with its final scales.
        path: corners of the line in data coordinates; one corner gives one box.
        half: half the side of a box, pixels.
        weight: penalty of a label on the line.
    """
    if not path:
        return []
    corners = axes.transData.transform(path)
    places = [corners[0]]
    for start, end in pairwise(corners):
        count = max(int(np.abs(end - start).max() / 4), 1)
        places += [start + (end - start) * step / count for step in range(1, count + 1)]
    weight_of_each = weight if len(places) == 1 else weight / 3  # a label covers a few of the boxes, not all
    return [Obstacle(Bbox.from_bounds(x - half, y - half, 2 * half, 2 * half), weight_of_each) for x, y in places]


def _standalone(element: str) -> str:
    """Return an `<svg>` element as a file, with the colors of the report page, light and dark."""
    css = files("compress.report").joinpath("templates/report.css").read_text("utf-8")
    palette = css[: css.index("\n* {")]
    rules = f"{palette}\ntext {{ font-family: var(--sans); }}"
    size = f'width="{_WIDTH:g}" height="{_HEIGHT:g}"'
    head, inside = element.split(">", 1)
    opening = head.replace("<svg", f'<svg xmlns="http://www.w3.org/2000/svg" {size}', 1)
    paper = '<rect width="100%" height="100%" style="fill:var(--paper)" />'
    return f"{opening}>\n<style>\n{rules}\n</style>\n{paper}\n{inside}\n"
