"""`rate-accuracy.svg`: bytes against divergence, and against top-1, a column for each network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import repeat

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, PercentFormatter

from benchmarks.rate_accuracy_record import CLASSIC, NNCODEC, OURS, NetworkCurve, RateAccuracyPoint, RateAccuracyRecord
from compress.evaluation.results import Interval
from compress.report.formatting import MINUS, nats, percent
from compress.report.label_placement import PointLabel, Preference, obstacles_along, place_labels
from compress.report.svg import chart_style, color, new_figure
from compress.report.svg import to_svg as to_svg_element

_WIDTH, _HEIGHT = 900.0, 890.0
_LEFT, _RIGHT, _GAP = 62.0, 24.0, 44.0
_ROWS = ((148.0, 300.0), (542.0, 300.0))
"""Top and height of each row of panels, pixels."""

_MIN_NATS = 1e-6
"""Value that stands for 0 on the logarithmic scale."""


@dataclass(frozen=True)
class ReferenceSize:
    """A published size or a target, drawn as a vertical line."""

    file_bytes: int
    text: str
    color: str


TARGET_SIZE = ReferenceSize(240_000, "target\n240,000 bytes", "ink")
SQUEEZENET_SIZES = (
    ReferenceSize(660_000, "Deep Compression\n8 bit, 0.66 MB", "muted"),
    ReferenceSize(470_000, "Deep Compression\n6 bit, 0.47 MB", "muted"),
)
"""Published sizes of SqueezeNet v1.0 (arXiv:1602.07360, table 2)."""


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
    curves = record.curves
    with chart_style():
        drawing = new_figure(_WIDTH, _HEIGHT)
        upper, lower = (_panels(drawing, top, height, len(curves)) for top, height in _ROWS)
        upper[0].set_yscale("log")
        panels = [*zip(upper, curves, repeat(_divergence)), *zip(lower, curves, repeat(_top1))]
        for axes, curve, of in panels:
            _finish(axes, curve)
            _draw(axes, curve.points, of)
        _finish_divergence(upper, curves)
        _finish_top1(lower, curves)
        for axes, curve, of in panels:
            _name(axes, curve, of)
        title = "Bytes of the file against divergence from the float network, and against top-1"
        return _standalone(to_svg_element(drawing, "rate-accuracy", title))


def _panels(drawing: Figure, top: float, height: float, count: int) -> list[Axes]:
    """Return a row of panels with the same scales; the first one has the labels of the vertical scale."""
    wide = (_WIDTH - _LEFT - _RIGHT - _GAP * (count - 1)) / count
    row: list[Axes] = []
    for column in range(count):
        left, bottom = (_LEFT + column * (wide + _GAP)) / _WIDTH, 1 - (top + height) / _HEIGHT
        first = row[0] if row else None
        row.append(drawing.add_axes((left, bottom, wide / _WIDTH, height / _HEIGHT), sharex=first, sharey=first))
        row[-1].tick_params(axis="y", labelleft=first is None)
    return row


def _reference_sizes(curve: NetworkCurve) -> tuple[ReferenceSize, ...]:
    published = SQUEEZENET_SIZES if curve.network.startswith("squeezenet") else ()
    return (*published, TARGET_SIZE)


def _divergence(point: RateAccuracyPoint) -> Interval:
    interval = point.divergence_nats
    return Interval(*(max(end, _MIN_NATS) for end in (interval.value, interval.low, interval.high)))


def _top1(point: RateAccuracyPoint) -> Interval:
    """Return top-1 in percent, with the paired interval of its difference from the float network."""
    interval = point.top1.difference
    reference = point.top1.accuracy.value - interval.value
    return Interval(*((reference + end) * 100 for end in (interval.value, interval.low, interval.high)))


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


def _finish(axes: Axes, curve: NetworkCurve) -> None:
    """Draw the reference lines, and style the scales."""
    axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10]))
    axes.tick_params(axis="x", length=0, pad=6)
    axes.tick_params(axis="y", length=0, pad=6, labelcolor=color("muted"), labelsize=11)
    axes.grid(axis="y", color=color("rule"), linewidth=1)
    axes.set_axisbelow(True)
    axes.margins(x=0.09)
    for reference in _reference_sizes(curve):
        axes.axvline(reference.file_bytes / 1000, color=color(reference.color), linewidth=1, linestyle=(0, (3, 3)))


def _finish_divergence(row: Sequence[Axes], curves: Sequence[NetworkCurve]) -> None:
    first = row[0]
    first.yaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
    first.yaxis.set_minor_locator(NullLocator())
    first.yaxis.set_major_formatter(FuncFormatter(lambda value, _: nats(value)))
    low, high = first.get_ylim()
    first.set_ylim(low / 1.25, high * 1.1)
    _title(first, "KL divergence from the float network, nats, on a logarithmic scale; lower is better", 84)
    for axes, curve in zip(row, curves, strict=True):
        _title(axes, curve.name, 54)
        for reference in _reference_sizes(curve):
            axes.annotate(reference.text, (reference.file_bytes / 1000, 1), xycoords=axes.get_xaxis_transform(),
                          xytext=(0, 5), textcoords="offset points", ha="center", va="bottom", fontsize=11,
                          linespacing=1.2, color=color(reference.color), annotation_clip=False)  # fmt: skip
    handles = {label: handle for axes in row for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    first.legend(handles.values(), handles, loc="lower left", bbox_to_anchor=(0, 1 + 114 / _ROWS[0][1]),
                 ncols=len(handles), frameon=False, borderpad=0, borderaxespad=0, handletextpad=0.5,
                 columnspacing=2.4, fontsize=12)  # fmt: skip


def _finish_top1(row: Sequence[Axes], curves: Sequence[NetworkCurve]) -> None:
    row[0].yaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    row[0].yaxis.set_major_formatter(PercentFormatter(decimals=0))
    _title(row[0], "Top-1, with 95% intervals of the change from the float network; higher is better", 42)
    for axes, curve in zip(row, curves, strict=True):
        axes.axhline(curve.top1.value * 100, color=color("muted"), linewidth=1)
        _title(axes, f"{curve.name}: {percent(curve.top1.value)} in float32", 14)
    row[-1].annotate("file, kB (1,000 bytes)", (1, 0), xycoords="axes fraction", xytext=(0, -26), ha="right", va="top",
                     textcoords="offset points", fontsize=11, color=color("muted"))  # fmt: skip


def _title(axes: Axes, text: str, above: float) -> None:
    axes.annotate(text, (0, 1), xycoords="axes fraction", xytext=(0, above), textcoords="offset points",
                  fontsize=13, weight="bold")  # fmt: skip


def _name(axes: Axes, curve: NetworkCurve, of: Callable[[RateAccuracyPoint], Interval]) -> None:
    """Label the points where labels overlap neither each other nor the lines."""
    obstacles, labels = [], []
    for reference in _reference_sizes(curve):
        obstacles += obstacles_along(axes, [(reference.file_bytes / 1000, y) for y in axes.get_ylim()], 1, 3)
    if of is _top1:
        obstacles += obstacles_along(axes, [(x, curve.top1.value * 100) for x in axes.get_xlim()], 1, 3)
    for style in _STYLES:
        own = [(point, of(point)) for point in curve.points if point.series == style.series]
        obstacles += obstacles_along(
            axes, [(point.file_bytes / 1000, interval.value) for point, interval in own], 1, 12
        )
        for point, interval in own:
            x = point.file_bytes / 1000
            obstacles += obstacles_along(axes, [(x, interval.low), (x, interval.high)], 1, 8)
            obstacles += obstacles_along(axes, [(x, interval.value)], 6, 30)
            labels.append(PointLabel(_short_name(point, curve), x, interval.value, style.color, style.label_preference))
    place_labels(axes, labels, obstacles)


def _short_name(point: RateAccuracyPoint, curve: NetworkCurve) -> str:
    return point.name.replace("-", MINUS) if point.series == NNCODEC else point.name.removeprefix(f"{curve.name}-")


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
