"""Histograms of each layer's weights before and after compression."""

from __future__ import annotations

import numpy as np

from compress.report.formatting import MINUS
from compress.report.record import CODEBOOK_MARKS, LayerRecord, WeightHistogram
from compress.report.svg import color, new_figure, to_svg

_WIDTH, _HEIGHT, _BOTTOM = 260.0, 132.0, 34.0


def draw_histogram(layer: LayerRecord, histogram: WeightHistogram, name: str) -> str:
    """Return an SVG: float weights as an outline, decoded weights as an area, codebook entries as ticks.

    `name` is unique on the page.
    """
    low, high = histogram.low, histogram.high
    edges = np.linspace(low, high, len(histogram.float_counts) + 1)
    highest = max(*histogram.float_counts, *histogram.decoded_counts, 1)
    figure = new_figure(_WIDTH, _HEIGHT)
    axes = figure.add_axes((0.02, _BOTTOM / _HEIGHT, 0.96, 1 - (_BOTTOM + 4) / _HEIGHT))
    axes.set(xlim=(low, high), ylim=(0, highest * 1.04), yticks=[])
    axes.stairs(histogram.decoded_counts, edges, fill=True, color=color("accent"), linewidth=0)
    axes.stairs(histogram.float_counts, edges, color=color("ink"), linewidth=1, baseline=None)
    marks = low + np.array(histogram.codebook_marks) / CODEBOOK_MARKS * (high - low)
    heights = np.tile([-0.03, -0.12, np.nan], marks.size) * highest
    axes.plot(np.repeat(marks, 3), heights, color=color("second"), linewidth=1, clip_on=False)
    ticks = _ticks(low, high)
    axes.set_xticks(ticks, [f"{tick:.2g}".replace("-", MINUS) for tick in ticks])
    axes.tick_params(length=0, pad=14)
    labels = axes.get_xticklabels()
    labels[0].set_horizontalalignment("left")
    labels[-1].set_horizontalalignment("right")
    return to_svg(figure, name, f"Weights of {layer.name} before and after compression, codebook entries marked")


def _ticks(low: float, high: float) -> list[float]:
    """Return both ends, and zero if its label does not collide with theirs."""
    margin = (high - low) * 0.2
    return [low, 0.0, high] if low + margin < 0 < high - margin else [low, high]
