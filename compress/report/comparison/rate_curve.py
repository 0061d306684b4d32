"""Curves of a comparison: bytes of the file against divergence, and against accuracy."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator
from matplotlib.transforms import Bbox

from compress.evaluation.results import Interval
from compress.report.comparison.peers import PeerPoint, Peers, PublishedSize
from compress.report.comparison.run_figures import RunFigures
from compress.report.formatting import abbreviate, nats, signed_hundred
from compress.report.label_placement import Obstacle, PointLabel, obstacles_along, place_labels
from compress.report.svg import color, label_powers, lowest_nats, new_figure, to_svg

Metric = Literal["divergence_nats", "relative_mse", "top1_change"]
"""Field of `RunFigures`."""

_WIDTH, _HEIGHT = 400.0, 320.0
_ROOMY_RUNS, _HEIGHT_OF_RUN = 5, 20.0
"""Runs that have room for their names, and the height that each further one adds."""

_BOTTOM, _TOP = 45.0, 32.0
"""Pixels of the texts below and above the axes."""

_SIZE_LENGTH = 50.0
"""Pixels of the name of a published size along its line."""

_TITLES = {
    "divergence_nats": "KL divergence from the float network, nats; lower is better",
    "relative_mse": "Mean squared error over the variance of the float network's outputs; lower is better",
    "top1_change": "Top-1 above or below the float network, points; higher is better",
}


@dataclass(frozen=True)
class _Dot:
    name: str
    file_bytes: int
    height: Interval


def draw_curve(
    runs: Sequence[RunFigures], peers: Peers, metric: Metric, comparable: Sequence[Hashable] | None = None
) -> Markup:
    """Draw each run as a dot on its 95% interval, with the Pareto fronts of the runs and their peers.

    Args:
        runs: at least one has the metric.
        comparable: a value for each run; runs of one value share a Pareto front. None: all share one.
        peers: NNCodec as squares, filled if measured on the same photos; published sizes as lines.
        metric: the height of the dots.
    """
    minimum = _minimum(runs, peers, metric)
    groups = comparable if comparable is not None else [None] * len(runs)
    drawn = [(dot, group) for run, group in zip(runs, groups, strict=True) if (dot := _dot(run, metric, minimum))]
    dots = [dot for dot, _ in drawn]
    fronts = [_front([dot for dot, own in drawn if own == group], metric) for group in dict.fromkeys(groups)]
    height = _HEIGHT + _HEIGHT_OF_RUN * max(len(dots) - _ROOMY_RUNS, 0)
    figure = new_figure(_WIDTH, height)
    axes = figure.add_axes((0.12, _BOTTOM / height, 0.85, 1 - (_BOTTOM + _TOP) / height))
    peer_dots = [_peer_dot(peer, metric) for peer in peers.points]
    _draw_peers(axes, peer_dots, filled=peers.same_photos)
    for size in peers.sizes:
        _draw_size(axes, size, metric)
    for front in fronts:
        axes.plot(*_path(front), color=color("accent"), linewidth=1.2, zorder=1)
    for dot in dots:
        ends = [dot.height.low, dot.height.high]
        axes.plot([dot.file_bytes] * 2, ends, color=color("accent"), linewidth=2, alpha=0.6, zorder=2)
        axes.plot([dot.file_bytes], [dot.height.value], "o", color=color("accent"), markersize=8, zorder=3)
    _finish(axes, metric)
    _name(axes, dots, peer_dots, peers.sizes, metric, [*fronts, peer_dots])
    return Markup(to_svg(figure, f"curve-{metric}", f"Bytes of the file; {_TITLES[metric]}"))


def _minimum(runs: Sequence[RunFigures], peers: Peers, metric: Metric) -> float:
    """Return the minimum height of a dot."""
    if metric == "top1_change":
        return -1.0
    heights = [height.value for run in runs if (height := getattr(run, metric))]
    heights += [peer.divergence_nats for peer in peers.points]
    return lowest_nats(heights)


def _dot(run: RunFigures, metric: Metric, minimum: float) -> _Dot | None:
    height: Interval | None = getattr(run, metric)
    return _Dot(abbreviate(run.name, 18), run.file_bytes, _clipped(height, minimum)) if height else None


def _peer_dot(peer: PeerPoint, metric: Metric) -> _Dot:
    height = peer.top1_change if metric == "top1_change" else peer.divergence_nats
    return _Dot(peer.name, peer.file_bytes, Interval(height, height, height))


def _clipped(interval: Interval, minimum: float) -> Interval:
    return Interval(*(max(end, minimum) for end in (interval.value, interval.low, interval.high)))


def _draw_peers(axes: Axes, dots: Sequence[_Dot], *, filled: bool) -> None:
    axes.plot(*_path(dots), "-s", color=color("second"), linewidth=1.2, markersize=6,
              fillstyle="full" if filled else "none", zorder=1)  # fmt: skip


def _draw_size(axes: Axes, size: PublishedSize, metric: Metric) -> None:
    """Draw a published size as a line, with its name at the end of poor quality, where few runs are."""
    axes.axvline(size.file_bytes, color=color("muted"), linewidth=1, linestyle=(0, (3, 3)), zorder=0)
    place, offset, end = (0, 4, "bottom") if metric == "top1_change" else (1, -4, "top")
    axes.annotate(size.amount, (size.file_bytes, place), xycoords=axes.get_xaxis_transform(), xytext=(-3, offset),
                  rotation=90, textcoords="offset points", ha="right", va=end, fontsize=10,
                  color=color("muted"))  # fmt: skip


def _front(dots: Sequence[_Dot], metric: Metric) -> list[_Dot]:
    """Return the runs that no other run beats in both bytes and the metric, the smallest file first."""
    sign = -1 if metric == "top1_change" else 1
    front: list[_Dot] = []
    for dot in sorted(dots, key=lambda dot: (dot.file_bytes, sign * dot.height.value)):
        if not front or sign * dot.height.value < sign * front[-1].height.value:
            front.append(dot)
    return front


def _path(dots: Sequence[_Dot]) -> tuple[list[int], list[float]]:
    return [dot.file_bytes for dot in dots], [dot.height.value for dot in dots]


def _finish(axes: Axes, metric: Metric) -> None:
    if metric != "top1_change":
        axes.set_yscale("log")
        label_powers(axes.yaxis, nats, (1, 2, 5), 7)
    else:
        axes.axhline(0, color=color("muted"), linewidth=1, zorder=0)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: signed_hundred(value)))
    axes.margins(0.1, 0.1)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1000:,.4g}"))
    axes.grid(color=color("rule"), linewidth=1)
    axes.tick_params(which="both", color=color("rule"), labelcolor=color("muted"), labelsize=11)
    axes.set_title(_TITLES[metric], loc="left", x=-0.12, fontsize=11, color=color("muted"))
    axes.set_xlabel("file, kB (1,000 bytes)", loc="right", fontsize=11, color=color("muted"))


def _name(
    axes: Axes,
    dots: Sequence[_Dot],
    peers: Sequence[_Dot],
    sizes: Sequence[PublishedSize],
    metric: Metric,
    lines: Sequence[Sequence[_Dot]],
) -> None:
    """Label the dots where labels cover neither other dots, lines and intervals nor the names of published sizes."""
    places = axes.transData.transform([(dot.file_bytes, dot.height.value) for dot in (*dots, *peers)])
    obstacles = [Obstacle(Bbox.from_bounds(x - 6, y - 6, 12, 12), 30) for x, y in places]
    for line in lines:
        obstacles += obstacles_along(axes, list(zip(*_path(line), strict=True)), 1, 6)
    for dot in dots:
        interval = [(dot.file_bytes, dot.height.low), (dot.file_bytes, dot.height.high)]
        obstacles += obstacles_along(axes, interval, 1, 8)
    for size in sizes:
        obstacles += obstacles_along(axes, [(size.file_bytes, end) for end in axes.get_ylim()], 1, 3)
    end = axes.get_ylim()[metric != "top1_change"]
    ends = axes.transData.transform([(size.file_bytes, end) for size in sizes] or np.empty((0, 2)))
    bottom = 0 if metric == "top1_change" else -_SIZE_LENGTH
    obstacles += [Obstacle(Bbox.from_bounds(x - 14, y + bottom, 15, _SIZE_LENGTH), 20) for x, y in ends]
    labels = [PointLabel(dot.name, dot.file_bytes, dot.height.value, "accent", "below") for dot in dots]
    labels += [PointLabel(dot.name, dot.file_bytes, dot.height.value, "second", "above") for dot in peers]
    place_labels(axes, labels, obstacles, 11)
