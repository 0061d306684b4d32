"""Channels scaled so that all rows of a layer ask for the same step: what tells their steps apart takes no byte then.

A channel multiplied where it is written and divided where it is read changes no output, if only rectifiers, pools and
the like lie between. So the step that it asks for where it is written goes to where it is read: channels have steps of
their own there anyway.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from compress.channel_changes import input_factors, scaled
from compress.channels import Link
from compress.model import Model
from compress.passes.levels import Layer, relative_steps
from compress.tensors import Dense, Pruned


def with_rows_alike(model: Model, layers: Mapping[str, Layer], found: Iterable[Link]) -> tuple[Model, dict[str, Layer]]:
    """Return a model with the same outputs, and its layers, in which the rows of a layer ask for the same step.

    Rows whose channels may not be scaled are left as they are, as those of the last layer.

    Args:
        model: whose layers they are.
        layers: of all its weights, by name. Their factors are changed in place: there is no room for others.
        found: `channels.links` of its network.
    """
    found = tuple(found)
    steps = {link.writer: relative_steps(*layers[link.writer].costs).mean(1) for link in found}
    factors = {name: np.exp2(octaves.mean() - octaves) for name, octaves in steps.items()}
    bias_names = model.bias_names()
    weights = {name: layer.values for name, layer in layers.items()}
    biases = {name: model.tensors[bias].to_dense() for name, bias in bias_names.items()}
    inputs = input_factors(weights, found, factors)
    weights, biases = scaled(weights, biases, found, factors)
    changed: dict[str, Dense | Pruned] = {bias_names[name]: Dense(values) for name, values in biases.items()}
    for name, values in weights.items():
        tensor = model.tensors[name]
        changed[name] = Pruned(values, tensor.kept) if isinstance(tensor, Pruned) else Dense(values)
    return model.with_tensors(changed), {
        name: layer.scaled(weights[name], factors.get(name, np.ones(len(layer.values))), inputs[name])
        for name, layer in layers.items()
    }
