"""Which layers read the channels that a layer writes, and which of them can be left out without changing any output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn
from torch.nn import functional

Weights = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Link:
    """Channels that one layer writes and another reads, in the same order.

    Attributes:
        writer: name of the layer's weight tensor, (channels, ...).
        reader: name of the reading layer's weight tensor, (rows, channels of all that it reads, ...).
        first: which of the channels that the reader reads is the writer's first.
        rectified: whether nothing below zero comes through.
        grouped: whether each row of the writer reads some channels alone, so that rows cannot change places.
    """

    writer: str
    reader: str
    first: int
    rectified: bool
    grouped: bool = False


@dataclass(frozen=True)
class _Run:
    """Channels that follow each other; of one layer, or (None) of who knows where."""

    layer: str | None
    channels: int
    rectified: bool = False
    grouped: bool = False


_RECTIFIERS: tuple[Any, ...] = (nn.ReLU, torch.relu, functional.relu, "relu", "relu_")
"""What lets channels be scaled: not so ReLU6, whose upper bound would stay."""

_BY_CHANNEL: tuple[Any, ...] = (
    nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Dropout, nn.Dropout2d, nn.Identity,
    functional.max_pool2d, functional.avg_pool2d, functional.adaptive_avg_pool2d, functional.dropout,
)  # fmt: skip
"""What keeps channels apart and in order, and gives zeros for zeros."""


def links(network: nn.Module) -> tuple[Link, ...]:
    """Return how convolutions and linear layers hang together, where all that a layer's channels go to is known.

    A layer whose channels also go elsewhere (to the output, into a sum, through an operation not known here) has no
    link: nothing of it can be left out. A network whose course depends on its input has none at all.

    Args:
        network: whose they are; it is traced, not run.
    """
    try:
        graph = fx.symbolic_trace(network).graph
    except Exception:  # the network's own code runs here, and may not take being traced
        return ()
    walk = _Walk(dict(network.named_modules()))
    for node in graph.nodes:
        walk.step(node)
    return tuple(link for link in dict.fromkeys(walk.links) if link.writer not in walk.elsewhere)


class _Walk:
    """Goes through a network's operations, and keeps what each result's channels are."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        self.modules = modules
        self.results: dict[fx.Node, list[_Run]] = {}
        self.links: list[Link] = []
        self.elsewhere: set[str] = set()
        self.read: dict[str, list[_Run]] = {}

    def step(self, node: fx.Node) -> None:
        what: Any = self.modules[str(node.target)] if node.op == "call_module" else node.target
        before = [self.results.get(each, []) for each in node.all_input_nodes]
        if isinstance(what, nn.Conv2d | nn.Linear):
            self.results[node] = self._layer(f"{node.target}.weight", what, before[0])
        elif _is(what, _RECTIFIERS) and len(before) == 1:
            self.results[node] = [replace(run, rectified=True) for run in before[0]]
        elif (_is(what, _BY_CHANNEL) and len(before) == 1) or _is_mean_of_positions(node):
            self.results[node] = before[0]
        elif _is_cat_of_channels(node):
            self.results[node] = [run for each in before for run in each]
        elif _is_flatten(node, what):
            self.results[node] = before[0]
        else:
            self.elsewhere |= {run.layer for runs in before for run in runs if run.layer}
            self.results[node] = []

    def _layer(self, name: str, layer: nn.Conv2d | nn.Linear, before: list[_Run]) -> list[_Run]:
        inputs = layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels
        groups = 1 if isinstance(layer, nn.Linear) else layer.groups
        known = groups == 1 and sum(run.channels for run in before) == inputs
        if not known:
            self.elsewhere |= {run.layer for run in before if run.layer}
        else:
            starts = np.cumsum([0, *(run.channels for run in before)])
            for run, first in zip(before, starts, strict=False):
                if run.layer:
                    self.links.append(Link(run.layer, name, int(first), run.rectified, run.grouped))
        if name in self.read:  # it is used twice, and what it writes here may be read otherwise than there
            self.elsewhere.add(name)
            if self.read[name] != before:  # a column stands for one channel here and for another there
                self.elsewhere |= {run.layer for run in (*before, *self.read[name]) if run.layer}
        self.read.setdefault(name, before)
        return [_Run(name, layer.weight.shape[0], grouped=groups > 1)]


def _is(what: Any, kinds: Iterable[Any]) -> bool:
    return any(isinstance(what, kind) if isinstance(kind, type) else what == kind for kind in kinds)


def _argument(node: fx.Node, place: int, name: str, default: Any) -> Any:
    return node.args[place] if len(node.args) > place else node.kwargs.get(name, default)


def _is_mean_of_positions(node: fx.Node) -> bool:
    return node.target in {"mean", torch.mean} and _argument(node, 1, "dim", None) in {(2, 3), (-2, -1)}


def _is_cat_of_channels(node: fx.Node) -> bool:
    return node.target in {torch.cat, torch.concat} and _argument(node, 1, "dim", 0) in {1, -3}


def _is_flatten(node: fx.Node, what: Any) -> bool:
    """Tell whether it puts all but the first axis together; of one position, as the next layer's inputs tell."""
    if isinstance(what, nn.Flatten):
        return what.start_dim == 1 and what.end_dim == -1
    flattens = what is torch.flatten or what == "flatten"
    return flattens and (_argument(node, 1, "start_dim", 0), _argument(node, 2, "end_dim", -1)) == (1, -1)


def dead(weights: Weights, biases: Weights, found: Iterable[Link]) -> dict[str, NDArray[np.bool_]]:
    """Return which weights change no output: those of channels that nothing reads, or that are always zero.

    Args:
        weights: by name, each (rows, columns, ...).
        biases: the same layers' biases, by the weight's name; one that is not there is zero.
        found: `links` of the network.
    Returns:
        by name, bool of the tensor's shape. With all of them zero, and the biases of rows that nothing reads, every
        output is the same number.
    """
    gone: dict[str, NDArray[np.bool_]] = {n: np.zeros(values.shape, dtype=np.bool_) for n, values in weights.items()}
    reading_of = by_writer(found)
    while True:
        before = sum(int(mask.sum()) for mask in gone.values())
        for writer, reading in reading_of.items():
            rows = len(weights[writer])
            unread: NDArray[np.bool_] = np.ones(rows, dtype=np.bool_)
            for link in reading:
                read = np.any(_used(weights, gone, link.reader), axis=0)
                unread &= ~read[link.first : link.first + rows]
            gone[writer][unread] = True
            silent = ~np.any(_used(weights, gone, writer), axis=1)
            bias = biases.get(writer, np.zeros(rows, dtype=np.float32))
            for link in reading:
                zero = silent & ((bias <= 0) if link.rectified else (bias == 0))
                gone[link.reader][:, link.first + np.flatnonzero(zero | unread)] = True
        if sum(int(mask.sum()) for mask in gone.values()) == before:
            return gone


def by_writer(found: Iterable[Link]) -> dict[str, list[Link]]:
    """Return links by the layer that writes."""
    grouped: dict[str, list[Link]] = {}
    for link in found:
        grouped.setdefault(link.writer, []).append(link)
    return grouped


def _used(weights: Weights, gone: Mapping[str, NDArray[np.bool_]], name: str) -> NDArray[np.bool_]:
    """Return which row uses which column, shape (rows, columns)."""
    used = (weights[name] != 0) & ~gone[name]
    by_column: NDArray[np.bool_] = used.reshape(*used.shape[:2], -1).any(axis=2)
    return by_column
