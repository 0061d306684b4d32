"""First trials of a search, from a sensitivity scan."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from compress.configuration.config import Pipeline
from compress.configuration.search_space import Value
from compress.model import Model
from compress.search.sensitivity import LayerScan, Scan
from compress.search.tunables import Tunable, evenly_spaced, tunables_of

_MAX_POINTS = 4
"""Warm-start points of a search, beside the initial values of the pipeline."""

_LAMBDAS = np.logspace(-12, 0, 241)
"""Nats per bit, from a value at which no bit is saved to one at which all are."""

_INDEX_BITS = 5.0
"""Assumed bits of an unpruned weight: its codebook is not known yet."""


def warm_start_points(pipeline: Pipeline, sensitivities: Scan, model: Model) -> list[dict[str, Value]]:
    """Return values for the first trials, from the most accurate to the smallest file.

    The points lie on the path of the Lagrange multiplier lambda: for each lambda, a tunable takes the value that
    minimizes divergence + lambda * bits, summed over its layers. This ignores that layers interact and that training
    recovers accuracy. Searched values that are no tunables keep their initial value.
    """
    tunables = tunables_of(pipeline)
    by_name = {layer.name: layer for layer in sensitivities.layers}
    layers = [[by_name[name] for name in tunable.layers(model)] for tunable in tunables]
    initial = {parameter.key: parameter.initial for parameter in pipeline.search}
    path: list[dict[str, Value]] = []
    for lambda_ in _LAMBDAS:
        best = [_best_value(*each, sensitivities, lambda_) for each in zip(tunables, layers, strict=True)]
        point = {**initial, **{each.parameter.key: value for each, value in zip(tunables, best, strict=True)}}
        if point not in path:
            path.append(point)
    return [path[index] for index in evenly_spaced(len(path), _MAX_POINTS)]


def _best_value(tunable: Tunable, layers: Sequence[LayerScan], sensitivities: Scan, lambda_: float) -> Value:
    """Return the allowed value nearest to the best scanned one; of equal ones, the mildest."""

    def cost(index: int) -> float:
        bits = _bits_per_weight(tunable.pass_.kind, settings[index].value)
        return sum(layer.divergences[index] + lambda_ * layer.weights * bits for layer in layers)

    settings = sensitivities.settings
    indices = [index for index, setting in enumerate(settings) if setting.kind == tunable.pass_.kind]
    nearest = tunable.nearest(settings[min(indices, key=cost)].value)
    if tunable.parameter.range is None:
        return next(choice for choice in tunable.parameter.choices if choice == nearest)
    return round(nearest) if tunable.parameter.is_whole else nearest


def _bits_per_weight(kind: str, value: float) -> float:
    """Return approximate bits: of an index with `share`; of the mask and the unpruned indices with `prune`."""
    if kind == "share":
        return value
    shares = [share for share in (value, 1 - value) if share > 0]
    return -sum(share * math.log2(share) for share in shares) + (1 - value) * _INDEX_BITS
