"""The report's charts: areas, bytes by stage, measures by stage, and where the bytes of the file went."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from compress.evaluation.results import Interval
from compress.report.breakdown import layer_bytes, layer_name, layer_parts, parts_of, weight_layers
from compress.report.formatting import MINUS, kilobytes, megabytes, nats, percent, short, thousands
from compress.report.record import ALEXNET_BYTES, Record, StageRecord
from compress.report.svg import colour, figure, inline, sheet


@dataclass(frozen=True)
class Measure:
    """What a chart of intervals shows of each stage.

    Attributes:
        key: names the chart on the page.
        title: in words.
        better: `higher` or `lower`.
        of: the interval of one stage; None where it was not measured.
        words: an estimate as text.
    """

    key: str
    title: str
    better: str
    of: Callable[[StageRecord], Interval | None]
    words: Callable[[float], str]


MEASURES = (
    Measure("top1", "Top-1 accuracy", "higher", lambda s: s.accuracy.top1 if s.accuracy else None, percent),
    Measure("top5", "Top-5 accuracy", "higher", lambda s: s.accuracy.top5 if s.accuracy else None, percent),
    Measure("agreement", "Same first answer as the float network", "higher", lambda s: s.fidelity.agreement, percent),
    Measure("divergence", "KL divergence, nats", "lower", lambda s: s.fidelity.divergence_nats, nats),
)


def areas(record: Record) -> str:
    """Draw AlexNet, the float network and the file as squares whose areas are their bytes."""
    width, height, side = 320.0, 184.0, 168.0
    drawing, axes = sheet(width, height)
    floor, left = height - 8, 0.0
    names = ("AlexNet", "float", "this file")
    sizes = (ALEXNET_BYTES, record.float_bytes, record.file.file_bytes)
    for name, size, tone in zip(names, sizes, ("pale", "accent", "second"), strict=True):
        edge = side * math.sqrt(size / max(sizes))
        _bar(axes, left, floor - edge, edge, edge, tone)
        inside = edge > 80
        label = f"{name}\n{megabytes(size) if size >= 1e8 else kilobytes(size)}"
        x, y = (left + 12, floor - edge + 14) if inside else (left, floor - edge - 8)
        axes.text(x, y, label, va="top" if inside else "bottom", linespacing=1.3)
        left += max(edge + 14, 76)
    return inline(drawing, "areas", "Bytes of AlexNet, of the float network and of this file, as areas of squares")


def waterfall(record: Record, width: float, name: str) -> str:
    """Draw the bytes left after each stage, and those that it removed, from the float weights to the file."""
    row, bar = 46.0, 14.0
    steps = [("float32 weights", record.float_bytes), *((stage.name, stage.file_bytes) for stage in record.stages)]
    goals = [goal.limit for goal in record.goals if goal.unit == "bytes"]
    drawing, axes = sheet(width, row * len(steps) + (16 if goals else 0))
    scale = width / max(*(size for _, size in steps), *goals)
    before = record.float_bytes
    for index, (step, size) in enumerate(steps):
        top = row * index + 20
        removed = before - size
        _bar(axes, 0, top, max(size, before) * scale, bar, "pale" if removed > 0 else "second")
        _bar(axes, 0, top, min(size, before) * scale, bar, "accent")
        axes.text(0, top - 6, short(step, 20), fontsize=13)
        axes.text(width - 92, top - 6, kilobytes(size), ha="right", fontsize=13, weight="bold")
        axes.text(width, top - 6, _change(removed, before) if index else "", ha="right", color=colour("muted"))
        before = size
    for limit in goals:
        for index in range(len(steps)):
            _bar(axes, limit * scale - 1, row * index + 18, 2, bar + 4, "second")
        side = "right" if limit * scale > width / 2 else "left"
        axes.text(limit * scale, row * len(steps) + 10, f"goal {kilobytes(limit)}", ha=side, color=colour("second"))
    return inline(drawing, name, "Bytes by stage, from the float32 weights to the file")


def intervals(record: Record, measure: Measure) -> str:
    """Draw one measure after each stage as a dot on its 95% interval, with the first stage's as a dashed line."""
    found = [(stage.name, interval) for stage in record.stages if (interval := measure.of(stage))]
    width, row, left, right = 440.0, 27.0, 132.0, 62.0
    height = row * len(found) + 30
    drawing = figure(width, height)
    axes = drawing.add_axes((left / width, 30 / height, (width - left - right) / width, row * len(found) / height))
    axes.set(ylim=(len(found) - 0.5, -0.5), yticks=[], xlim=_limits([interval for _, interval in found]))
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value, measure)))
    axes.grid(axis="x", color=colour("rule"), linewidth=1)
    axes.axvline(found[0][1].value, color=colour("muted"), linewidth=1, linestyle=(0, (3, 3)))
    for index, (stage, interval) in enumerate(found):
        tone = colour("second" if index == len(found) - 1 else "accent")
        axes.plot([interval.low, interval.high], [index, index], color=tone, linewidth=2.5, clip_on=False)
        axes.plot([interval.value], [index], "o", color=tone, markersize=8, clip_on=False)
        across = axes.get_yaxis_transform()
        axes.text(-left / (width - left - right), index, short(stage, 18), va="center", transform=across)
        axes.text(1 + right / (width - left - right), index, measure.words(interval.value),
                  va="center", ha="right", weight="bold", transform=across)  # fmt: skip
    return inline(drawing, measure.key, f"{measure.title} after each stage, with 95% intervals")


def file_parts(record: Record) -> str:
    """Draw the file as one bar, divided into what its bytes hold."""
    width, height = 960.0, 34.0
    drawing, axes = sheet(width, height)
    left = 0.0
    for part in parts_of(record.file):
        wide = width * part.bytes / record.file.file_bytes
        _bar(axes, left, 0, max(wide - 1.5, 0.5), height, part.tone)
        left += wide
    title = "The bytes of the file by what they hold; the table below has the figures"
    return inline(drawing, "parts", title, stretch=True)


def layer_bars(record: Record, width: float, name: str) -> str:
    """Draw the bytes of each layer's weights, divided into what they hold."""
    row, bar, left, right = 22.0, 13.0, 150.0, 66.0
    layers = weight_layers(record)
    drawing, axes = sheet(width, row * len(layers))
    totals = [layer_bytes(layer) for layer in layers]
    scale = (width - left - right) / max(*totals, 1)
    for index, (layer, total) in enumerate(zip(layers, totals, strict=True)):
        middle, x = row * (index + 0.5), left
        for part in layer_parts(layer):
            _bar(axes, x, middle - bar / 2, part.bytes * scale, bar, part.tone)
            x += part.bytes * scale
        label = short(layer_name(layer), 22)
        axes.text(0, middle, label, va="center", fontsize=11, color=colour("muted"))
        axes.text(x + 6, middle, kilobytes(total), va="center", fontsize=11)
    return inline(drawing, name, "Bytes of each layer's weights by what they hold")


def _bar(axes: Axes, x: float, y: float, width: float, height: float, tone: str) -> None:
    if width > 0:
        axes.add_patch(Rectangle((x, y), width, height, facecolor=colour(tone), edgecolor="none", clip_on=False))


def _change(removed: int, before: int) -> str:
    if removed == 0:
        return "same"
    sign = MINUS if removed > 0 else "+"
    return f"{sign}{percent(abs(removed) / before)}" if before else f"{sign}{thousands(abs(removed))}"


def _limits(found: list[Interval]) -> tuple[float, float]:
    low, high = min(interval.low for interval in found), max(interval.high for interval in found)
    pad = (high - low) * 0.06 or max(abs(high) * 0.01, 1e-6)
    return low - pad, high + pad


def _tick(value: float, measure: Measure) -> str:
    return nats(value) if measure.words is nats else f"{value * 100:.4g}%"
