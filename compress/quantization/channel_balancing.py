"""Channel balancing: scale and permute channels so that step sizes take fewer bytes, with the same network outputs.

A channel can be multiplied where one layer writes it and divided where the next layer reads it, and channels can change
places, if only operations such as rectifiers and pooling lie between. Balancing scales channels so that all rows of a
layer take the same step: the differences move to the columns of the layers that read them. It sorts channels so that
the steps of these columns grow from one channel to the next. Both are cheap to code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from compress.calibration.layer_statistics import permute_inverse_cholesky
from compress.model import Model
from compress.networks.channel_graph import ChannelLink, links_by_writer
from compress.networks.equalization import input_factors, input_permutations, scale_channels
from compress.quantization.layer_quantizer import LayerQuantizer
from compress.runtime.mapped_arrays import release_pages
from compress.tensors.forms import Dense, Pruned

Layers = Mapping[str, LayerQuantizer]
Biases = Mapping[str, NDArray[np.float32]]

_ENTRIES_TOGETHER = 1024
"""Entries of each row's Cholesky factor that are permuted in one step."""


def balance_channels(model: Model, layers: Layers, links: Iterable[ChannelLink]) -> tuple[Model, Layers]:
    """Return a model with the same outputs and with balanced channels, and its layers.

    Channels without a link, such as the outputs of the last layer, stay as they are.

    Args:
        model: the model of the layers.
        layers: all weights of the model, by name. Their Cholesky factors are changed in place, to save memory.
        links: `channel_links` of the network.
    """
    links = tuple(links)
    bias_names = model.bias_names()
    biases: Biases = {name: model.tensors[bias].to_dense() for name, bias in bias_names.items()}
    layers, biases = _equalize_row_steps(layers, biases, links)
    layers, biases = _sort_channels(layers, biases, links)
    changed: dict[str, Dense | Pruned] = {bias_names[name]: Dense(values) for name, values in biases.items()}
    for name, layer in layers.items():
        pruned = isinstance(model.tensors[name], Pruned)
        changed[name] = Pruned(layer.weights, layer.mask) if pruned else Dense(layer.weights)
    return model.with_tensors(changed), layers


def _equalize_row_steps(layers: Layers, biases: Biases, links: tuple[ChannelLink, ...]) -> tuple[Layers, Biases]:
    steps = {link.writer: layers[link.writer].relative_steps.mean(1) for link in links}
    factors = {name: np.exp2(octaves.mean() - octaves) for name, octaves in steps.items()}
    weights = {name: layer.weights for name, layer in layers.items()}
    columns = input_factors(weights, links, factors)
    weights, biases = scale_channels(weights, biases, factors, columns)
    return {
        name: layer.with_scaled_channels(weights[name], factors.get(name, np.ones(len(layer.weights))), columns[name])
        for name, layer in layers.items()
    }, biases


def _sort_channels(layers: Layers, biases: Biases, links: tuple[ChannelLink, ...]) -> tuple[Layers, Biases]:
    weights = {name: layer.weights for name, layer in layers.items()}
    steps = {name: _input_steps(layers[name]) for name in dict.fromkeys(link.reader for link in links)}
    permutations = {}
    for writer, reading in links_by_writer(links).items():
        rows = len(weights[writer])
        rows_can_move = len(layers[writer].inverse_cholesky) in {1, rows}  # adjacent rows share the other factors
        if rows_can_move and not any(link.grouped for link in reading):
            read_steps = [steps[link.reader][link.offset : link.offset + rows] for link in reading]
            permutations[writer] = np.argsort(np.sum(read_steps, axis=0), kind="stable")
    columns = input_permutations(weights, links, permutations)
    return {
        name: _permute(layer, permutations.get(name, np.arange(len(layer.weights))), columns[name])
        for name, layer in layers.items()
    }, {name: bias[permutations[name]] if name in permutations else bias for name, bias in biases.items()}


def _input_steps(layer: LayerQuantizer) -> NDArray[np.float64]:
    """Return the mean relative step of each input channel, in octaves, shape (input channels,)."""
    steps: NDArray[np.float64] = layer.relative_steps.mean(0).reshape(layer.weights.shape[1], -1).mean(1)
    return steps


def _permute(layer: LayerQuantizer, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> LayerQuantizer:
    """Return a layer with permuted rows and input channels; arguments are the old index at each new place.

    Input channels are quantized in the same order as before, so the columns of the Cholesky factors stay. The factors
    of the rows are permuted in place, some entries at a time, to save memory.
    """
    if len(layer.inverse_cholesky) == len(rows):
        for start in range(0, layer.inverse_cholesky.shape[1], _ENTRIES_TOGETHER):
            entries = slice(start, start + _ENTRIES_TOGETHER)
            layer.inverse_cholesky[:, entries] = layer.inverse_cholesky[rows, entries]
        release_pages(layer.inverse_cholesky)
    factor = layer.correlation_factor
    return replace(
        layer,
        weights=np.ascontiguousarray(layer.weights[rows][:, columns]),
        mask=np.ascontiguousarray(layer.mask[rows][:, columns]),
        row_fisher=layer.row_fisher[rows],
        channel_order=np.argsort(columns)[layer.channels_in_order],
        correlation_factor=None if factor is None else permute_inverse_cholesky(factor, rows),
        bias_fisher=None if layer.bias_fisher is None else layer.bias_fisher[rows],
    )
