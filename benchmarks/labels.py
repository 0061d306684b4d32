"""Names beside the points of a chart, each where it hides least."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.transforms import Bbox

from compress.report.svg import colour

Side = Literal["below", "above"]

_BELOW = ((-1, -1), (0, -1), (-1, 0), (1, -1), (1, 0), (1, 1), (0, 1), (-1, 1))
"""Directions from the point, the best first: columns and rows, upwards."""

_DIRECTIONS = {"below": _BELOW, "above": tuple((-column, -row) for column, row in _BELOW)}
_DISTANCES = (9.0, 15.0, 23.0)
_HORIZONTAL = {-1: "right", 0: "center", 1: "left"}
_VERTICAL = {-1: "top", 0: "center", 1: "bottom"}


@dataclass(frozen=True)
class Label:
    """A name and the point, in the data's coordinates, that it belongs to."""

    words: str
    x: float
    y: float
    tone: str
    side: Side


@dataclass(frozen=True)
class Obstacle:
    """Pixels that a name should not lie on, and how bad it is if it does."""

    box: Bbox
    weight: float


def place(axes: Axes, labels: Iterable[Label], obstacles: Sequence[Obstacle], font_size: float = 12) -> None:
    """Write each name beside its point, in the direction and at the distance where it hides least.

    Args:
        axes: with its final limits and scales, in a figure whose points are pixels.
        labels: the first are placed first.
        font_size: pixels.
        obstacles: what has been drawn.
    """
    renderer = FigureCanvasAgg(axes.get_figure(root=True)).get_renderer()  # type: ignore[no-untyped-call]
    taken = list(obstacles)
    for label in labels:
        text = axes.annotate(label.words, (label.x, label.y), xytext=(0, 0), textcoords="offset points",
                             fontsize=font_size, color=colour(label.tone), annotation_clip=False)  # fmt: skip
        size = text.get_window_extent(renderer)
        at = axes.transData.transform((label.x, label.y))
        places = [(column, row, distance) for distance in _DISTANCES for column, row in _DIRECTIONS[label.side]]
        boxes = [_box(float(at[0]), float(at[1]), size.width, size.height, *where) for where in places]
        hidden = [_hidden(box, taken, axes.bbox) + where[2] / 10 for box, where in zip(boxes, places, strict=True)]
        best = hidden.index(min(hidden))
        column, row, distance = places[best]
        text.set(position=(column * distance, row * distance), ha=_HORIZONTAL[column], va=_VERTICAL[row])
        taken.append(Obstacle(boxes[best], 50))


def _box(x: float, y: float, width: float, height: float, column: int, row: int, distance: float) -> Bbox:
    left = x + column * distance - width * (1 - column) / 2
    bottom = y + row * distance - height * (1 - row) / 2
    return Bbox.from_bounds(left, bottom, width, height)


def _hidden(box: Bbox, taken: Sequence[Obstacle], sheet: Bbox) -> float:
    outside = 100.0 * bool(box.x0 < sheet.x0 or box.x1 > sheet.x1 or box.y0 < sheet.y0 or box.y1 > sheet.y1)
    return outside + sum(obstacle.weight for obstacle in taken if box.overlaps(obstacle.box))
