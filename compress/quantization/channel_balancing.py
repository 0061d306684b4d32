"""Channels scaled and put into an order in which what tells their steps takes few bytes.

A channel multiplied where it is written and divided where it is read changes no output, if only rectifiers, pools and
the like lie between; nor do channels that change places. So all rows of a layer may ask for the same step, as the step
that a channel asks for where it is written goes to where it is read; and there steps may grow from one channel to the
next, so that they are as good as known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from compress.calibration.layer_statistics import reordered_factor
from compress.model import Model
from compress.networks.channel_graph import Link, by_writer
from compress.networks.equalization import input_factors, input_orders, scaled
from compress.quantization.layer_quantizer import Layer
from compress.quantization.step_sizes import relative_steps
from compress.tensors.forms import Dense, Pruned

Biases = Mapping[str, NDArray[np.float32]]

_AT_ONCE = 1024
"""Numbers of each row's factor that change places together."""


def with_channels_moved(
    model: Model, layers: Mapping[str, Layer], found: Iterable[Link]
) -> tuple[Model, dict[str, Layer]]:
    """Return a model with the same outputs, and its layers, which need fewer bytes to tell their steps.

    The rows of a layer ask for the same step, and its columns for larger ones from one to the next. Channels of which
    it cannot be told where they go are left as they are, as those of the last layer.

    Args:
        model: whose layers they are.
        layers: of all its weights, by name. Their factors are changed in place: there is no room for others.
        found: `channels.links` of its network.
    """
    found = tuple(found)
    bias_names = model.bias_names()
    biases: Biases = {name: model.tensors[bias].to_dense() for name, bias in bias_names.items()}
    alike, biases = _with_rows_alike(layers, biases, found)
    ordered, biases = _with_columns_in_order(alike, biases, found)
    changed: dict[str, Dense | Pruned] = {bias_names[name]: Dense(values) for name, values in biases.items()}
    for name, layer in ordered.items():
        pruned = isinstance(model.tensors[name], Pruned)
        changed[name] = Pruned(layer.values, layer.mask) if pruned else Dense(layer.values)
    return model.with_tensors(changed), ordered


def _with_rows_alike(
    layers: Mapping[str, Layer], biases: Biases, found: Iterable[Link]
) -> tuple[dict[str, Layer], Biases]:
    steps = {link.writer: relative_steps(*layers[link.writer].costs).mean(1) for link in found}
    factors = {name: np.exp2(octaves.mean() - octaves) for name, octaves in steps.items()}
    weights = {name: layer.values for name, layer in layers.items()}
    inputs = input_factors(weights, found, factors)
    weights, biases = scaled(weights, biases, found, factors)
    return {
        name: layer.scaled(weights[name], factors.get(name, np.ones(len(layer.values))), inputs[name])
        for name, layer in layers.items()
    }, biases


def _with_columns_in_order(
    layers: Mapping[str, Layer], biases: Biases, found: Iterable[Link]
) -> tuple[dict[str, Layer], Biases]:
    weights = {name: layer.values for name, layer in layers.items()}
    steps = {name: _steps_of_inputs(layers[name]) for name in dict.fromkeys(link.reader for link in found)}
    orders = {}
    for writer, reading in by_writer(found).items():
        rows = len(weights[writer])
        apart = len(layers[writer].factors) in {1, rows}  # else rows next to each other have one factor together
        if apart and not any(link.grouped for link in reading):
            asked = np.sum([steps[link.reader][link.first : link.first + rows] for link in reading], axis=0)
            orders[writer] = np.argsort(asked, kind="stable")
    inputs = input_orders(weights, found, orders)
    return {
        name: _reordered(layer, orders.get(name, np.arange(len(layer.values))), inputs[name])
        for name, layer in layers.items()
    }, {name: bias[orders[name]] if name in orders else bias for name, bias in biases.items()}


def _steps_of_inputs(layer: Layer) -> NDArray[np.float64]:
    """Return the steps that a layer's input channels ask for, in octaves, shape (channels,)."""
    steps: NDArray[np.float64] = relative_steps(*layer.costs).mean(0).reshape(layer.values.shape[1], -1).mean(1)
    return steps


def _reordered(layer: Layer, rows: NDArray[np.int64], inputs: NDArray[np.int64]) -> Layer:
    """Return a layer whose rows and input channels are others, those of before at the places given.

    Input channels make up for each other's errors in the same turn as before: so what can be made up for is the same.
    The factors of the rows change places in place, a part of each at a time: there is no room for others.
    """
    if len(layer.factors) == len(rows):
        for start in range(0, layer.factors.shape[1], _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            layer.factors[:, some] = layer.factors[rows, some]
    return replace(
        layer,
        values=np.ascontiguousarray(layer.values[rows][:, inputs]),
        mask=np.ascontiguousarray(layer.mask[rows][:, inputs]),
        output_cost=layer.output_cost[rows],
        turn=np.argsort(inputs)[layer.channels_in_turn],
        coupling=None if layer.coupling is None else reordered_factor(layer.coupling, rows),
        bias_cost=None if layer.bias_cost is None else layer.bias_cost[rows],
    )
