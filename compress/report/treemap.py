"""The treemap of a file: a rectangle for each layer, divided into its components; areas are bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from compress.report.breakdown import FileComponent, file_components, layer_components, layer_name, weight_layers
from compress.report.record import RunRecord

_OWN_TILES = ("biases", "class names", "header")
"""Components of the file that belong to no layer."""

_GAP = 1.5
"""Pixels between tiles."""


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels."""

    x: float
    y: float
    width: float
    height: float

    @property
    def is_wide(self) -> bool:
        """Whether no side is longer than the width."""
        return self.width >= self.height

    def without_gap(self) -> Box:
        """Return the rectangle without the gap on its right and below it; at least half of the sides stay."""
        return Box(self.x, self.y, self.width - min(_GAP, self.width / 2), self.height - min(_GAP, self.height / 2))

    def slices(self, amounts: Sequence[float], *, across: bool) -> Iterator[Box]:
        """Yield parts with areas proportional to the amounts, beside each other if `across`, else below each other."""
        total, done = sum(amounts), 0.0
        for amount in amounts:
            start, length = done / total, amount / total
            if across:
                yield Box(self.x + start * self.width, self.y, length * self.width, self.height)
            else:
                yield Box(self.x, self.y + start * self.height, self.width, length * self.height)
            done += amount


@dataclass(frozen=True)
class Tile:
    """A layer, or a component that belongs to none.

    Attributes:
        box: without the gap to the next tiles.
        parts: its components that have bytes, each with its rectangle.
    """

    name: str
    byte_count: int
    box: Box
    parts: tuple[tuple[FileComponent, Box], ...]


def treemap(record: RunRecord, width: float, height: float) -> list[Tile]:
    """Return the tiles, the largest first; their bytes sum to the file's."""
    groups = [(layer_name(layer), layer_components(layer)) for layer in weight_layers(record)]
    groups += [(each.name, (each,)) for each in file_components(record.file) if each.name in _OWN_TILES]
    sized = [(sum(part.byte_count for part in parts), name, parts) for name, parts in groups]
    sized = sorted((each for each in sized if each[0]), key=lambda each: -each[0])
    boxes = squarify([size for size, _, _ in sized], Box(0, 0, width + _GAP, height + _GAP))
    return [_tile(name, size, parts, box.without_gap()) for (size, name, parts), box in zip(sized, boxes, strict=True)]


def _tile(name: str, size: int, parts: Sequence[FileComponent], box: Box) -> Tile:
    used = [part for part in parts if part.byte_count]
    slices = box.slices([part.byte_count for part in used], across=box.is_wide)
    return Tile(name, size, box, tuple(zip(used, slices, strict=True)))


def squarify(amounts: Sequence[float], box: Box) -> list[Box]:
    """Divide a rectangle into nearly square ones with areas proportional to positive amounts, given in falling order.

    Source: Bruls, Huizing and van Wijk 2000, "Squarified treemaps".
    """
    boxes: list[Box] = []
    rest = list(amounts)
    while rest:
        length = _row_length(rest, box)
        row, rest = rest[:length], rest[length:]
        strip, *remaining = box.slices([sum(row), *([sum(rest)] if rest else [])], across=box.is_wide)
        boxes += strip.slices(row, across=not box.is_wide)
        box = remaining[0] if remaining else box
    return boxes


def _row_length(amounts: Sequence[float], box: Box) -> int:
    """Return how many amounts share the next strip: more as long as its worst ratio of sides falls."""
    side, scale = min(box.width, box.height), box.width * box.height / sum(amounts)
    best, row = float("inf"), 0.0
    for index, amount in enumerate(amounts):
        row += amount * scale
        thickness = row / side
        lengths = [each * scale / thickness for each in (amounts[0], amount)]
        worst = max(max(each / thickness, thickness / each) for each in lengths)
        if worst > best:
            return index
        best = worst
    return len(amounts)
