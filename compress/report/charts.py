"""What the report's charts show. The templates `bar_charts.html` and `dot_charts.html` draw it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from compress.evaluation.results import Interval
from compress.report.breakdown import layer_bytes, layer_name, weight_layers
from compress.report.chart_axes import Scale, padded_range
from compress.report.formatting import abbreviate_path, measured_nats, percent
from compress.report.record import ALEXNET_BYTES, SQUEEZENET_PAPER_BYTES, LayerRecord, RunRecord, StageRecord

Corners = tuple[float, float, float, float]
"""Left, top, right and bottom of a rectangle, pixels."""

_NAME_HEIGHT, _CHARACTER_WIDTH = 13, 6.5
"""Height of a name, and width of a character, in text of 11 pixels."""


@dataclass(frozen=True)
class StageMetric:
    """A metric of every stage, drawn with its confidence interval.

    Attributes:
        key: name of the chart on the page.
        better: `higher` or `lower`.
        of: the interval of one stage; None: not measured.
        words: formats an estimate.
    """

    key: str
    title: str
    better: str
    of: Callable[[StageRecord], Interval | None]
    words: Callable[[float], str]

    def rows(self, record: RunRecord) -> list[tuple[str, Interval]]:
        """Return the stages that were measured."""
        return [(stage.name, interval) for stage in record.stages if (interval := self.of(stage))]


STAGE_METRICS = (
    StageMetric("top1", "Top-1 accuracy", "higher", lambda s: s.accuracy.top1 if s.accuracy else None, percent),
    StageMetric("top5", "Top-5 accuracy", "higher", lambda s: s.accuracy.top5 if s.accuracy else None, percent),
    StageMetric("agreement", "Agreement with the float network", "higher", lambda s: s.fidelity.agreement, percent),
    StageMetric("divergence", "KL divergence, nats", "lower", lambda s: s.fidelity.divergence_nats, measured_nats),
    StageMetric("mse", "Relative mean squared error", "lower", lambda s: s.fidelity.relative_mse, measured_nats),
)


def familiar_sizes(record: RunRecord) -> list[tuple[str, int]]:
    """Return names and bytes to compare the file with: of known networks only if it has the same task."""
    sizes = [("float32 weights", record.float_bytes)]
    if record.is_imagenet_classifier:
        sizes = [("AlexNet", ALEXNET_BYTES), *sizes, ("SqueezeNet paper", SQUEEZENET_PAPER_BYTES)]
    return sizes


def intervals_scale(intervals: list[Interval], start: float, end: float) -> Scale:
    """Return an axis that shows all intervals."""
    ends = [end for interval in intervals for end in (interval.low, interval.high)]
    return Scale(*padded_range(ends), start, end)


@dataclass(frozen=True)
class LayerCost:
    """A layer in the chart of bits over the cost of an error.

    Attributes:
        cost_nats: divergence that a squared error of 1% of the weights' own square would cause, for a million weights;
            of a network whose outputs are values, the relative mean squared error.
    """

    layer: LayerRecord
    bits_per_weight: float
    cost_nats: float


def layer_costs(record: RunRecord) -> list[LayerCost]:
    """Return the layers with a measured cost above zero, the largest first."""
    costs = [
        LayerCost(layer, layer_bytes(layer) * 8 / layer.weights, cost)
        for layer in weight_layers(record)
        if 0 < (cost := _cost_nats(layer)) < math.inf
    ]
    return sorted(costs, key=lambda each: -layer_bytes(each.layer))


@dataclass(frozen=True)
class CostDot:
    """A dot in the chart of bits over the cost of an error, in pixels; the area is the layer's bytes.

    Attributes:
        name_at: center and baseline of the layer's name; None: the name is left out.
    """

    cost: LayerCost
    x: float
    y: float
    radius: float
    name_at: tuple[float, float] | None = None


def cost_dots(costs: list[LayerCost], x: Scale, y: Scale, names: int) -> list[CostDot]:
    """Return the dots of layers, and up to `names` names, of the largest layers where a name covers no other dot."""
    largest = max((layer_bytes(each.layer) for each in costs), default=0) or 1
    dots = [
        CostDot(each, x(each.cost_nats), y(each.bits_per_weight), 4 + 16 * math.sqrt(layer_bytes(each.layer) / largest))
        for each in costs
    ]
    page = x.start, y.end, x.end, y.start
    occupied = [(dot.x - dot.radius, dot.y - dot.radius, dot.x + dot.radius, dot.y + dot.radius) for dot in dots]
    for index, dot in enumerate(dots):
        if len(occupied) == len(dots) + names:
            break
        others = [*occupied[:index], *occupied[index + 1 :]]
        for name_at in _name_places(dot):
            box = _name_box(dot, name_at)
            if _is_inside(box, page) and not any(_overlap(box, other) for other in others):
                dots[index] = replace(dot, name_at=name_at)
                occupied.append(box)
                break
    return dots


def _name_places(dot: CostDot) -> list[tuple[float, float]]:
    """Return the places of a name: below, above, on the right and on the left of its dot."""
    half = _name_width(dot) / 2 + dot.radius + 4
    below, above = dot.y + dot.radius + _NAME_HEIGHT, dot.y - dot.radius - _NAME_HEIGHT / 3
    beside = dot.y + _NAME_HEIGHT / 3
    return [(dot.x, below), (dot.x, above), (dot.x + half, beside), (dot.x - half, beside)]


def _name_width(dot: CostDot) -> float:
    return _CHARACTER_WIDTH * len(abbreviate_path(layer_name(dot.cost.layer)))


def _name_box(dot: CostDot, name_at: tuple[float, float]) -> Corners:
    x, baseline = name_at
    half = _name_width(dot) / 2
    return x - half, baseline - _NAME_HEIGHT * 0.8, x + half, baseline + _NAME_HEIGHT * 0.2


def _overlap(box: Corners, other: Corners) -> bool:
    return box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]


def _is_inside(box: Corners, page: Corners) -> bool:
    return page[0] <= box[0] and page[1] <= box[1] and box[2] <= page[2] and box[3] <= page[3]


def even_bits(costs: list[LayerCost], highest: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return both ends, cost and bits, of the line along which bits cause the least divergence together.

    It passes through the mean of the weights, and has half a bit more for twice the cost.

    Args:
        costs: of the layers.
        highest: bits at the end of the axis, which starts at 0.
    Source: reverse water-filling, Cover and Thomas 2006, section 10.3.
    """
    weights = sum(each.layer.weights for each in costs)
    cost = sum(each.layer.weights * math.log2(each.cost_nats) for each in costs) / weights
    bits = sum(each.layer.weights * each.bits_per_weight for each in costs) / weights
    low, high = (math.log2(end(each.cost_nats for each in costs)) for end in (min, max))
    ends = [max(low, cost - 2 * bits), min(high, cost + 2 * (highest - bits))]
    first, last = ((2**end, bits + (end - cost) / 2) for end in ends)
    return first, last


def _cost_nats(layer: LayerRecord) -> float:
    if not layer.relative_error or layer.divergence_nats is None or not layer.weights:
        return 0.0
    return layer.divergence_nats / layer.relative_error * 0.01 / layer.weights * 1e6


def codec_totals(layers: list[LayerRecord]) -> Mapping[str, int]:
    """Return the bytes of all coded layers: as in the file, and with each codec alone, the smallest first."""
    coded = [layer for layer in layers if layer.codec_bytes]
    names = dict.fromkeys(name for layer in coded for name in layer.codec_bytes)
    totals = {name: sum(layer.codec_bytes.get(name, 0) for layer in coded) for name in names}
    return dict(sorted(totals.items(), key=lambda total: total[1]))
