"""Links between the layers that write and read a channel, and weights that no output depends on."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn
from torch.nn import functional

from compress.errors import WeightsError
from compress.networks.layer_calls import layer_weight_names
from compress.networks.operations import MEANS
from compress.networks.tracing import argument, is_altered, tensor_uses, trace

Weights = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class ChannelLink:
    """A layer that reads the channels another layer writes, in the same order.

    Attributes:
        writer: weight tensor of the writing layer, shape (rows, ...): one row a channel.
        reader: weight tensor of the reading layer, shape (rows, columns, ...).
        offset: column of the reader for the writer's first channel.
        rectified: a ReLU lies between.
        grouped: the writer is a grouped convolution, so its rows cannot be reordered.
    """

    writer: str
    reader: str
    offset: int
    rectified: bool
    grouped: bool = False


@dataclass(frozen=True)
class _ChannelRun:
    """Consecutive channels of an activation that one layer writes; `spatial`: each has a height and a width."""

    writer: str
    channels: int
    spatial: bool
    rectified: bool = False
    grouped: bool = False


_RECTIFIERS = {nn.ReLU, torch.relu, functional.relu, "relu", "relu_"}
"""Activations that commute with positive scales; ReLU6, with its fixed bound, does not."""

_POOLS = {
    nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d,
    functional.max_pool2d, functional.avg_pool2d, functional.adaptive_avg_pool2d,
}  # fmt: skip
"""Operations on each channel that commute with positive scales and map zeros to zeros."""

_ELEMENTWISE = {nn.Dropout, nn.Dropout2d, nn.Identity, functional.dropout}
"""The same, for activations of any shape."""


def channel_links(network: nn.Module, weights: Collection[str] | None = None) -> tuple[ChannelLink, ...]:
    """Return the links from each convolution and linear layer whose readers are all known.

    Outputs, sums and unknown operations are unknown readers. A network that `torch.fx` cannot trace has no links.

    Args:
        network: in evaluation mode.
        weights: names of the weights that may change; None: all. The others are unknown readers.
    """
    try:
        traced = trace(network)
    except WeightsError:
        return ()
    tracer = _ChannelTracer(network)
    for node in traced.graph.nodes:
        tracer.visit(node)
    fixed = _fixed_weights(network, tensor_uses(network, traced))
    if weights is not None:
        fixed |= {name for link in tracer.links for name in (link.writer, link.reader)}.difference(weights)
    unlinked = tracer.unlinked | fixed | {link.writer for link in tracer.links if link.reader in fixed}
    return tuple(link for link in dict.fromkeys(tracer.links) if link.writer not in unlinked)


def _fixed_weights(network: nn.Module, uses: Counter[int]) -> set[str]:
    """Return the weights of layers with a tensor that has another use, see `tensor_uses`."""
    layers = {weight: network.get_submodule(name) for name, weight in layer_weight_names(network).items()}
    return {
        weight
        for weight, layer in layers.items()
        if any(uses[id(tensor)] > 1 for tensor in layer.parameters(recurse=False))
    }


class _ChannelTracer:
    """Finds the links of a network, operation by operation; layers in `unlinked` have an unknown reader."""

    def __init__(self, network: nn.Module) -> None:
        self.links: list[ChannelLink] = []
        self.unlinked: set[str] = set()
        self._modules = dict(network.named_modules())
        self._weight_names = layer_weight_names(network)
        self._outputs: dict[fx.Node, list[_ChannelRun]] = {}
        self._layer_inputs: dict[str, list[_ChannelRun]] = {}

    def visit(self, node: fx.Node) -> None:
        """Follow the channels through one operation."""
        module = self._modules[str(node.target)] if node.op == "call_module" else None
        operation = node.target if module is None else type(module)
        inputs = [self._outputs.get(each, []) for each in node.all_input_nodes]
        output = None if module is not None and is_altered(module) else self._follow(node, module, operation, inputs)
        if output is None:
            self._unlink(run for runs in inputs for run in runs)
        self._outputs[node] = output or []

    def _follow(
        self, node: fx.Node, module: nn.Module | None, operation: Any, inputs: list[list[_ChannelRun]]
    ) -> list[_ChannelRun] | None:
        """Return the channels that an operation writes; None: unknown."""
        if isinstance(module, nn.Conv2d | nn.Linear) and node.target in self._weight_names:
            return self._link_layer(self._weight_names[str(node.target)], module, inputs[0])
        if _is_channel_cat(node):
            return [run for runs in inputs for run in runs]
        if len(inputs) != 1:
            return None
        if operation in _RECTIFIERS:
            return [replace(run, rectified=True) for run in inputs[0]]
        if operation in _ELEMENTWISE:
            return inputs[0]
        if not all(run.spatial for run in inputs[0]):
            return None
        if operation in _POOLS:
            return inputs[0]
        if _is_spatial_mean(node) or _is_flatten(node, module):
            # `_link_layer` checks that each flattened channel has one position.
            return [replace(run, spatial=bool(argument(node, 2, "keepdim", False))) for run in inputs[0]]
        return None

    def _link_layer(self, name: str, layer: nn.Conv2d | nn.Linear, inputs: list[_ChannelRun]) -> list[_ChannelRun]:
        grouped = isinstance(layer, nn.Conv2d) and layer.groups > 1
        *offsets, columns = accumulate((run.channels for run in inputs), initial=0)
        spatial = isinstance(layer, nn.Conv2d)
        if not grouped and columns == layer.weight.shape[1] and all(run.spatial == spatial for run in inputs):
            self.links += [
                ChannelLink(run.writer, name, offset, run.rectified, run.grouped)
                for run, offset in zip(inputs, offsets, strict=True)
            ]
        else:
            self._unlink(inputs)
        if name in self._layer_inputs:  # the layer runs twice, and its outputs may have different readers
            self.unlinked.add(name)
            if self._layer_inputs[name] != inputs:  # a column reads different channels each time
                self._unlink([*inputs, *self._layer_inputs[name]])
        self._layer_inputs.setdefault(name, inputs)
        return [_ChannelRun(name, layer.weight.shape[0], spatial, grouped=grouped)]

    def _unlink(self, runs: Iterable[_ChannelRun]) -> None:
        self.unlinked |= {run.writer for run in runs}


def _is_spatial_mean(node: fx.Node) -> bool:
    return node.target in MEANS and argument(node, 1, "dim") in {(2, 3), (-2, -1)}


def _is_channel_cat(node: fx.Node) -> bool:
    return node.target in {torch.cat, torch.concat} and argument(node, 1, "dim", 0) in {1, -3}


def _is_flatten(node: fx.Node, module: nn.Module | None) -> bool:
    if isinstance(module, nn.Flatten):
        return module.start_dim == 1 and module.end_dim == -1
    dims = argument(node, 1, "start_dim", 0), argument(node, 2, "end_dim", -1)
    return node.target in {torch.flatten, "flatten"} and dims == (1, -1)


def dead_weights(weights: Weights, biases: Weights, links: Iterable[ChannelLink]) -> dict[str, NDArray[np.bool_]]:
    """Return masks of the weights of channels that no layer reads or that are always zero.

    Setting these weights and the biases of `unread_channels` to zero changes no output.

    Args:
        weights: by name, shape (rows, columns, ...).
        biases: by the weight's name; a missing bias is zero.
        links: `channel_links` of the network.
    """
    dead: dict[str, NDArray[np.bool_]] = {n: np.zeros(values.shape, dtype=np.bool_) for n, values in weights.items()}
    by_writer = links_by_writer(links)
    count = -1
    while count != (total := sum(int(mask.sum()) for mask in dead.values())):
        count = total
        for writer, outgoing in by_writer.items():
            rows = len(weights[writer])
            unread = _unread(weights, dead, rows, outgoing)
            dead[writer][unread] = True
            no_weights = ~np.any(_used(weights, dead, writer), axis=1)
            bias = biases.get(writer, np.zeros(rows, dtype=np.float32))
            for link in outgoing:
                always_zero = no_weights & ((bias <= 0) if link.rectified else (bias == 0))
                dead[link.reader][:, link.offset + np.flatnonzero(always_zero | unread)] = True
    return dead


def unread_channels(
    weights: Weights, dead: Mapping[str, NDArray[np.bool_]], links: Iterable[ChannelLink]
) -> dict[str, NDArray[np.bool_]]:
    """Return masks of the channels that no layer reads, by writer, given the `dead_weights` of the readers."""
    by_writer = links_by_writer(links)
    return {writer: _unread(weights, dead, len(weights[writer]), reading) for writer, reading in by_writer.items()}


def _unread(
    weights: Weights, dead: Mapping[str, NDArray[np.bool_]], rows: int, links: Iterable[ChannelLink]
) -> NDArray[np.bool_]:
    reads = [_used(weights, dead, link.reader)[:, link.offset : link.offset + rows] for link in links]
    unread: NDArray[np.bool_] = ~np.any(np.concatenate(reads), axis=0)
    return unread


def links_by_writer(links: Iterable[ChannelLink]) -> dict[str, list[ChannelLink]]:
    """Return the links grouped by writer."""
    grouped = defaultdict(list)
    for link in links:
        grouped[link.writer].append(link)
    return grouped


def _used(weights: Weights, dead: Mapping[str, NDArray[np.bool_]], name: str) -> NDArray[np.bool_]:
    """Return which row uses which column, shape (rows, columns)."""
    used = (weights[name] != 0) & ~dead[name]
    by_column: NDArray[np.bool_] = used.reshape(*used.shape[:2], -1).any(axis=2)
    return by_column
