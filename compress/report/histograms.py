"""Shapes of the histograms of each layer's weights before and after compression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compress.report.breakdown import layer_bytes
from compress.report.formatting import MINUS
from compress.report.record import LayerRecord
from compress.report.weight_histogram import CODEBOOK_MARKS, WeightHistogram

WIDTH, HEIGHT = 220, 84
"""CSS pixels of the bars."""

_MAX_HISTOGRAMS = 60
"""More layers would make the page large; `report.json` has all."""


@dataclass(frozen=True)
class HistogramShapes:
    """SVG paths of one layer; heights are square roots of counts, so that rare weights are visible.

    Attributes:
        before: outline of the float weights.
        pruned: area of the float weights that became zero.
        after: area of the nonzero weights of the file.
        marks: x of each codebook entry.
        ticks: x, label and text-anchor of each label of the axis.
    """

    layer: LayerRecord
    histogram: WeightHistogram
    before: str
    pruned: str
    after: str
    marks: tuple[float, ...]
    ticks: tuple[tuple[float, str, str], ...]


def histogram_shapes(layers: Sequence[LayerRecord]) -> list[HistogramShapes]:
    """Return the shapes of the largest layers that have a histogram, in the order of the network."""
    drawn = sorted((layer for layer in layers if layer.histogram), key=lambda layer: -layer_bytes(layer))
    names = {layer.name for layer in drawn[:_MAX_HISTOGRAMS]}
    return [_shapes(layer, layer.histogram) for layer in layers if layer.histogram and layer.name in names]


def _shapes(layer: LayerRecord, histogram: WeightHistogram) -> HistogramShapes:
    all_counts = histogram.float_counts, histogram.decoded_counts, histogram.pruned_counts
    highest, bins = max(1, *map(max, filter(None, all_counts))), max(1, *map(len, all_counts))
    return HistogramShapes(
        layer,
        histogram,
        _stairs(histogram.float_counts, bins, highest),
        _stairs(histogram.pruned_counts, bins, highest),
        _stairs(histogram.decoded_counts, bins, highest),
        tuple(round(mark * WIDTH / CODEBOOK_MARKS, 1) for mark in histogram.codebook_marks),
        _ticks(histogram.low, histogram.high),
    )


def _stairs(counts: Sequence[int], bins: int, highest: int) -> str:
    """Return a path that starts and ends on the base line; empty without counts."""
    tops = [round(HEIGHT * (1 - (count / highest) ** 0.5), 1) for count in counts]
    steps = (f"V{top:g}H{(index + 1) * WIDTH / bins:.4g}" for index, top in enumerate(tops))
    return f"M0 {HEIGHT}{''.join(steps)}V{HEIGHT}" if any(counts) else ""


def _ticks(low: float, high: float) -> tuple[tuple[float, str, str], ...]:
    """Return both ends, and zero if its label does not collide with theirs."""
    ends = (0.0, _label(low), "start"), (float(WIDTH), _label(high), "end")
    zero = -low / (high - low) if low < high else 0.0  # equal: the ends differ in their fifth digit
    return (ends[0], (zero * WIDTH, "0", "middle"), ends[1]) if 0.25 < zero < 0.75 else ends


def _label(value: float) -> str:
    number = f"{value:,.0f}" if 100 <= abs(value) < 1e6 else f"{value:.2g}"
    return number.replace("-", MINUS)
