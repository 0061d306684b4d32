"""Histograms of each layer's weights, before and after, with the shared values marked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compress.report.formatting import MINUS
from compress.report.record import LayerRecord
from compress.report.svg import colour, figure, inline

_WIDTH, _HEIGHT, _FLOOR = 260.0, 132.0, 34.0


def histogram(layer: LayerRecord, name: str) -> str:
    """Draw one layer: the float weights as an outline, what was decoded as an area, shared values as ticks below.

    Args:
        layer: one with both histograms.
        name: unique on the page.
    """
    assert layer.before is not None
    assert layer.after is not None
    drawing = figure(_WIDTH, _HEIGHT)
    axes = drawing.add_axes((0.02, _FLOOR / _HEIGHT, 0.96, 1 - (_FLOOR + 4) / _HEIGHT))
    edges = np.array(layer.before.edges)
    highest = max(*layer.before.counts, *layer.after.counts, 1)
    axes.set(xlim=(edges[0], edges[-1]), ylim=(0, highest * 1.04), yticks=[])
    axes.stairs(layer.after.counts, layer.after.edges, fill=True, color=colour("accent"), linewidth=0)
    axes.stairs(layer.before.counts, edges, color=colour("ink"), linewidth=1, baseline=None)
    marks = _marks(layer.shared_values, edges)
    heights = np.tile([-0.03, -0.12, np.nan], marks.size) * highest
    axes.plot(np.repeat(marks, 3), heights, color=colour("second"), linewidth=1, clip_on=False)
    axes.set_xticks(_ticks(edges), [f"{tick:.2g}".replace("-", MINUS) for tick in _ticks(edges)])
    axes.tick_params(length=0, pad=14)
    labels = axes.get_xticklabels()
    labels[0].set_horizontalalignment("left")
    labels[-1].set_horizontalalignment("right")
    return inline(drawing, name, f"Weights of {layer.name} before and after, with the shared values marked")


def _marks(shared_values: tuple[float, ...], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where to mark them: within the drawing, and no two on one half pixel, however large the codebook."""
    step = (edges[-1] - edges[0]) / (2 * _WIDTH)
    within = np.clip(np.array(shared_values), edges[0], edges[-1])
    return np.asarray(edges[0] + np.unique(np.round((within - edges[0]) / step)) * step)


def _ticks(edges: NDArray[np.float64]) -> list[float]:
    """Return both ends, and zero where it is well inside."""
    low, high = float(edges[0]), float(edges[-1])
    inside = low + (high - low) * 0.2 < 0 < high - (high - low) * 0.2
    return [low, 0.0, high] if inside else [low, high]
