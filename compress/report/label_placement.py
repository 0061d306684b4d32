"""Placement of labels beside the points of a chart, with the least overlap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.transforms import Bbox

from compress.report.svg import color

Preference = Literal["below", "above"]

_BELOW = ((-1, -1), (0, -1), (-1, 0), (1, -1), (1, 0), (1, 1), (0, 1), (-1, 1))
"""Directions from the point, the best first: columns and rows, upwards."""

_DIRECTIONS = {"below": _BELOW, "above": tuple((-column, -row) for column, row in _BELOW)}
_DISTANCES = (9.0, 15.0, 23.0, 34.0)
_HORIZONTAL = {-1: "right", 0: "center", 1: "left"}
_VERTICAL = {-1: "top", 0: "center", 1: "bottom"}
_LABEL_WEIGHT = 50
_OUTSIDE_PENALTY = 100.0
_PIXEL_PENALTY = 0.25
"""Penalty of each pixel between a label and its point: a label crosses a thin line rather than stand 34 pixels away."""

_AMBIGUITY_PENALTY = 25.0
"""Penalty of a label that is closer to another point than to its own."""


@dataclass(frozen=True)
class PointLabel:
    """A text and its point in data coordinates."""

    text: str
    x: float
    y: float
    color: str
    preference: Preference


@dataclass(frozen=True)
class Obstacle:
    """An area in pixels that labels avoid, and the penalty for an overlap."""

    box: Bbox
    weight: float


def place_labels(
    axes: Axes, labels: Iterable[PointLabel], obstacles: Sequence[Obstacle], font_size: float = 12
) -> None:
    """Write each label beside its point, in the direction and at the distance with the lowest penalty.

    Args:
        axes: with final limits and scales, in a figure with one pixel a point.
        labels: placed in this order; each is an obstacle for the next.
        obstacles: drawn elements.
        font_size: pixels.
    """
    renderer = FigureCanvasAgg(axes.get_figure(root=True)).get_renderer()  # type: ignore[no-untyped-call]
    occupied, labels = list(obstacles), list(labels)
    points = [tuple(map(float, axes.transData.transform((label.x, label.y)))) for label in labels]
    for index, label in enumerate(labels):
        text = axes.annotate(label.text, (label.x, label.y), xytext=(0, 0), textcoords="offset points",
                             fontsize=font_size, color=color(label.color), annotation_clip=False)  # fmt: skip
        extent = text.get_window_extent(renderer)
        x, y = points[index]
        others = [point for point in points if point != (x, y)]
        candidates = [
            (column, row, distance) for distance in _DISTANCES for column, row in _DIRECTIONS[label.preference]
        ]
        boxes = [_box(x, y, extent.width, extent.height, *candidate) for candidate in candidates]
        penalties = [
            _penalty(box, occupied, axes.bbox)
            + distance * _PIXEL_PENALTY
            + _AMBIGUITY_PENALTY * _is_ambiguous(box, (x, y), others)
            for box, (_, _, distance) in zip(boxes, candidates, strict=True)
        ]
        best = penalties.index(min(penalties))
        column, row, distance = candidates[best]
        text.set(position=(column * distance, row * distance), ha=_HORIZONTAL[column], va=_VERTICAL[row])
        occupied.append(Obstacle(boxes[best], _LABEL_WEIGHT))


def obstacles_along(axes: Axes, path: Sequence[tuple[float, float]], half: float, weight: float) -> list[Obstacle]:
    """Return boxes along a line as obstacles, for `place_labels`.

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


def _box(x: float, y: float, width: float, height: float, column: int, row: int, distance: float) -> Bbox:
    left = x + column * distance - width * (1 - column) / 2
    bottom = y + row * distance - height * (1 - row) / 2
    return Bbox.from_bounds(left, bottom, width, height)


def _penalty(box: Bbox, obstacles: Sequence[Obstacle], page: Bbox) -> float:
    outside = bool(box.x0 < page.x0 or box.x1 > page.x1 or box.y0 < page.y0 or box.y1 > page.y1)
    overlaps = sum(obstacle.weight for obstacle in obstacles if box.overlaps(obstacle.box))
    return overlaps + _OUTSIDE_PENALTY * outside


def _is_ambiguous(box: Bbox, point: tuple[float, ...], others: Iterable[tuple[float, ...]]) -> bool:
    own = _distance(box, *point)
    return any(_distance(box, *other) < own for other in others)


def _distance(box: Bbox, x: float, y: float) -> float:
    """Return the distance of a point from a box, pixels."""
    return float(np.hypot(max(box.x0 - x, x - box.x1, 0.0), max(box.y0 - y, y - box.y1, 0.0)))
