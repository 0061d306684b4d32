"""The comparison as a drawing: bytes against divergence, and against the change of top-1."""

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

from benchmarks.comparison import CLASSIC, NNCODEC, OURS, Comparison, Point
from benchmarks.labels import Label, Obstacle, Side, place
from compress.evaluation.results import Interval
from compress.report.formatting import MINUS, nats, percent
from compress.report.svg import colour, figure, inline, style

_WIDTH, _HEIGHT = 900.0, 790.0
_LEFT, _RIGHT = 62.0, 24.0
_PANELS = ((116.0, 300.0), (472.0, 260.0))
"""Of each panel: pixels from the top, and its height."""

_LEAST_NATS = 1e-6
"""A logarithmic scale has no place for 0."""


@dataclass(frozen=True)
class Reference:
    """A size that others reached, or that is aimed at."""

    file_bytes: int
    words: str
    tone: str


REFERENCES = (
    Reference(660_000, "Deep Compression\n8 bit, 0.66 MB", "muted"),
    Reference(470_000, "Deep Compression\n6 bit, 0.47 MB", "muted"),
    Reference(240_000, "target\n240,000 bytes", "ink"),
)
"""Published sizes of SqueezeNet v1.0 (arXiv:1602.07360, table 2), and the size that this project aims at."""


@dataclass(frozen=True)
class _Look:
    series: str
    words: str
    tone: str
    marker: str
    fill: str
    side: Side


_LOOKS = (
    _Look(OURS, OURS, "accent", "o", "full", "below"),
    _Look(CLASSIC, "its classic recipe", "accent", "D", "none", "below"),
    _Look(NNCODEC, "NNCodec (ISO/IEC 15938-17)", "second", "s", "full", "above"),
)


def to_svg(comparison: Comparison) -> str:
    """Return the drawing as a file of its own: the same bytes for the same figures, whatever time they took."""
    points = comparison.points
    with style():
        drawing = figure(_WIDTH, _HEIGHT)
        upper, lower = (_panel(drawing, top, height) for top, height in _PANELS)
        upper.set_yscale("log")
        for axes, of in ((upper, _divergence), (lower, _change)):
            _finish(axes, points)
            _draw(axes, points, of)
        _finish_divergence(upper)
        _finish_change(lower, comparison)
        for axes, of in ((upper, _divergence), (lower, _change)):
            _name(axes, points, of)
        title = "Bytes of the file against divergence from the float network, and against the change of top-1"
        return _standalone(inline(drawing, "rate-accuracy", title))


def _panel(drawing: Figure, top: float, height: float) -> Axes:
    left, bottom, wide = _LEFT / _WIDTH, 1 - (top + height) / _HEIGHT, 1 - (_LEFT + _RIGHT) / _WIDTH
    return drawing.add_axes((left, bottom, wide, height / _HEIGHT))


def _divergence(point: Point) -> Interval:
    found = point.divergence_nats
    return Interval(*(max(value, _LEAST_NATS) for value in (found.value, found.low, found.high)))


def _change(point: Point) -> Interval:
    found = point.top1.difference
    return Interval(found.value * 100, found.low * 100, found.high * 100)


def _draw(axes: Axes, points: Sequence[Point], of: Callable[[Point], Interval]) -> None:
    """Draw each series as a line through its points, each point on its interval."""
    for look in _LOOKS:
        found = [point for point in points if point.series == look.series]
        if not found:
            continue
        tone, sizes = colour(look.tone), [point.file_bytes / 1000 for point in found]
        for size, point in zip(sizes, found, strict=True):
            axes.plot([size, size], [of(point).low, of(point).high], color=tone, linewidth=1.6, alpha=0.55)
        axes.plot(sizes, [of(point).value for point in found], look.marker, linestyle="-", color=tone, linewidth=1.8,
                  markersize=8, markeredgewidth=1.8, fillstyle=look.fill, label=look.words)  # fmt: skip


def _finish(axes: Axes, points: Sequence[Point]) -> None:
    """Give both panels the same scale of bytes, and the reference lines."""
    sizes = [size / 1000 for size in (*(point.file_bytes for point in points), *(ref.file_bytes for ref in REFERENCES))]
    margin = (max(sizes) - min(sizes)) * 0.09
    axes.set_xlim(max(min(sizes) - margin, 0), max(sizes) + margin)
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
    axes.tick_params(axis="x", length=0, pad=6)
    axes.tick_params(axis="y", length=0, pad=6, labelcolor=colour("muted"), labelsize=11)
    axes.grid(axis="y", color=colour("rule"), linewidth=1)
    axes.set_axisbelow(True)
    for reference in REFERENCES:
        axes.axvline(reference.file_bytes / 1000, color=colour(reference.tone), linewidth=1, linestyle=(0, (3, 3)))


def _finish_divergence(axes: Axes) -> None:
    axes.yaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: nats(value)))
    low, high = axes.get_ylim()
    axes.set_ylim(low / 1.25, high * 1.1)
    _title(axes, "KL divergence from the float network, nats, on a logarithmic scale; lower is better", 52)
    for reference in REFERENCES:
        axes.annotate(reference.words, (reference.file_bytes / 1000, 1), xycoords=axes.get_xaxis_transform(),
                      xytext=(0, 5), textcoords="offset points", ha="center", va="bottom", fontsize=11, linespacing=1.2,
                      color=colour(reference.tone), annotation_clip=False)  # fmt: skip
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1 + 82 / _PANELS[0][1]), ncols=len(_LOOKS), frameon=False,
                borderpad=0, borderaxespad=0, handletextpad=0.5, columnspacing=2.4, fontsize=12)  # fmt: skip


def _finish_change(axes: Axes, comparison: Comparison) -> None:
    axes.yaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+g}".replace("-", MINUS) if value else "0"))
    axes.axhline(0, color=colour("muted"), linewidth=1)
    baseline = percent(comparison.top1.value)
    _title(axes, f"Top-1 against the float network's {baseline}, points, with 95% intervals; higher is better", 14)
    axes.annotate("file, kB (1,000 bytes)", (1, 0), xycoords="axes fraction", xytext=(0, -26), ha="right", va="top",
                  textcoords="offset points", fontsize=11, color=colour("muted"))  # fmt: skip


def _title(axes: Axes, words: str, above: float) -> None:
    axes.annotate(words, (0, 1), xycoords="axes fraction", xytext=(0, above), textcoords="offset points",
                  fontsize=13, weight="bold")  # fmt: skip


def _name(axes: Axes, points: Sequence[Point], of: Callable[[Point], Interval]) -> None:
    """Write the points' names where they hide neither each other nor what is drawn."""
    obstacles, labels = [], []
    for reference in REFERENCES:
        obstacles += _along(axes, [(reference.file_bytes / 1000, y) for y in axes.get_ylim()], 1, 3)
    for look in _LOOKS:
        found = [(point, of(point)) for point in points if point.series == look.series]
        obstacles += _along(axes, [(point.file_bytes / 1000, interval.value) for point, interval in found], 1, 12)
        for point, interval in found:
            x = point.file_bytes / 1000
            obstacles += _along(axes, [(x, interval.low), (x, interval.high)], 1, 8)
            obstacles += _along(axes, [(x, interval.value)], 6, 30)
            labels.append(Label(short_name(point), x, interval.value, look.tone, look.side))
    place(axes, labels, obstacles)


def short_name(point: Point) -> str:
    """Return what a point is called beside its marker."""
    return point.name.replace("-", MINUS) if point.series == NNCODEC else point.name.removeprefix("squeezenet-")


def _along(axes: Axes, path: Sequence[tuple[float, float]], half: float, weight: float) -> list[Obstacle]:
    """Return what a line covers, as boxes of so many pixels about places along it; their weights sum up."""
    if not path:
        return []
    corners = axes.transData.transform(path)
    places = [corners[0]]
    for start, end in pairwise(corners):
        count = max(int(np.abs(end - start).max() / 4), 1)
        places += [start + (end - start) * step / count for step in range(1, count + 1)]
    share = weight if len(places) == 1 else weight / 3  # a name lies on some of them, never on all
    return [Obstacle(Bbox.from_bounds(x - half, y - half, 2 * half, 2 * half), share) for x, y in places]


def _standalone(element: str) -> str:
    """Make an `<svg>` of the report a file of its own, on paper and in the palette of its page, light and dark."""
    css = files("compress.report").joinpath("templates/report.css").read_text("utf-8")
    palette = css[: css.index("\n* {")]
    rules = f"{palette}\ntext {{ font-family: var(--sans); }}"
    size = f'width="{_WIDTH:g}" height="{_HEIGHT:g}"'
    head, inside = element.split(">", 1)
    opening = head.replace("<svg", f'<svg xmlns="http://www.w3.org/2000/svg" {size}', 1)
    paper = '<rect width="100%" height="100%" style="fill:var(--paper)" />'
    return f"{opening}>\n<style>\n{rules}\n</style>\n{paper}\n{inside}\n"
