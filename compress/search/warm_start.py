"""From a scan of the layers to values that are worth trying first."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from compress.model import Model
from compress.pipeline.config import Pipeline
from compress.pipeline.search_space import Value
from compress.search.sensitivity import LayerScan, Scan
from compress.search.tunables import Amount, Kind, amounts_of

COUNT = 4
"""Points that a search begins with, beside the pipeline's own values."""

_SLOPES = np.logspace(-12, 0, 241)
"""Nats that a bit is worth, from one at which every bit is kept to one at which none is."""

_INDEX_BITS = 5.0
"""Of a weight that pruning keeps, where it is not known yet how it will be shared."""


def first_points(pipeline: Pipeline, found: Scan, model: Model) -> list[dict[str, Value]]:
    """Return values of a search, from the most careful to the boldest.

    Along the path on which the last bit saved costs the same divergence wherever it is saved: each amount is what makes
    divergence and bits, at one slope between the two, least over the layers that it is for. That layers add up, and
    that nothing is won back by training, is not quite so; it is good enough to begin with. What a scan cannot speak of
    keeps the pipeline's own values.

    Args:
        pipeline: what is searched.
        found: the scan of its layers.
        model: whose layers they are.
    """
    amounts = amounts_of(pipeline)
    layers = {layer.name: layer for layer in found.layers}
    own = {each.key: each.own for each in pipeline.search}
    path: list[dict[str, Value]] = []
    for slope in _SLOPES if amounts else ():
        chosen = {
            amount.searched.key: _typed(
                amount, _best(amount, [layers[name] for name in amount.layers(model)], found, slope)
            )
            for amount in amounts
        }
        point = {**own, **chosen}
        if point not in path:
            path.append(point)
    places = np.linspace(0, len(path) - 1, min(COUNT, len(path))).round().astype(int)
    return [path[place] for place in dict.fromkeys(places.tolist())]


def _best(amount: Amount, layers: Sequence[LayerScan], found: Scan, slope: float) -> float:
    """Return which of the scanned values is best at a slope; of equal ones the most careful."""

    def cost(place: int) -> float:
        value = found.settings[place].value
        return sum(layer.divergences[place] + slope * layer.weights * _bits(amount.kind, value) for layer in layers)

    places = [place for place, setting in enumerate(found.settings) if setting.kind == amount.kind]
    return found.settings[min(places, key=cost)].value


def _typed(amount: Amount, value: float) -> Value:
    nearest = amount.nearest(value)
    if amount.searched.range is None:
        return next(choice for choice in amount.searched.choices if choice == nearest)
    return round(nearest) if amount.searched.whole else nearest


def _bits(kind: Kind, value: float) -> float:
    """Return about how many bits a weight takes: which are kept, and their indices; or the indices of all."""
    if kind == "share":
        return value
    parts = [share for share in (value, 1 - value) if share > 0]
    return -sum(share * math.log2(share) for share in parts) + (1 - value) * _INDEX_BITS
