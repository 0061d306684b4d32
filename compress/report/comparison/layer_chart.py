"""The chart of layers in a comparison."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from compress.report.comparison.layer_differences import LayerDifference
from compress.report.comparison.run_figures import RunFigures
from compress.report.formatting import abbreviate, kilobytes
from compress.report.svg import color, label_powers, new_figure, to_svg

_WIDTH = 440.0
_MARKS = (("s", "muted"), ("o", "accent"), ("D", "second"), ("^", "part-positions"))
MAX_RUNS_BY_LAYER = len(_MARKS)
"""More runs have no chart of layers: their marks would hide each other."""


def draw_layers(layers: Sequence[LayerDifference], runs: Sequence[RunFigures]) -> Markup:
    """Draw a row for each layer with a mark for each run, at most `MAX_RUNS_BY_LAYER`: the bytes of its weights."""
    counts = np.array([[np.nan if count is None else max(count, 1) for count in layer.byte_counts] for layer in layers])
    rows, height = np.arange(len(layers)), 22.0 * len(layers) + 60
    figure = new_figure(_WIDTH, height)
    axes = figure.add_axes((0.32, 30 / height, 0.64, 1 - 60 / height), xscale="log", ylim=(len(rows) - 0.5, -0.5))
    axes.hlines(rows, np.nanmin(counts, axis=1), np.nanmax(counts, axis=1), colors=color("pale"), linewidth=3, zorder=1)
    for run, column, (marker, tone) in zip(runs, counts.T, _MARKS, strict=False):
        axes.scatter(column, rows, s=42, marker=marker, color=color(tone), linewidths=0, clip_on=False, zorder=2,
                     label=abbreviate(run.name, 14))  # fmt: skip
    axes.set_yticks(rows, [abbreviate(layer.name, 22) for layer in layers], fontsize=11, color=color("muted"))
    axes.tick_params(axis="y", length=0)
    label_powers(axes.xaxis, kilobytes)
    axes.grid(axis="x", color=color("rule"), linewidth=1)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.5, 1), ncols=len(runs), frameon=False, borderpad=0, fontsize=11,
                handletextpad=0.2, columnspacing=1.2)  # fmt: skip
    return Markup(to_svg(figure, "layers-chart", "Bytes of the weights of each layer, in each run"))
