"""Tensors that a network's own code reads: its parameters and buffers, and constants that no file stores."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import fx, nn

from compress.networks.modules import set_weights, stored_tensors
from compress.networks.operations import CASTS
from compress.networks.tracing import trace
from compress.tensors.forms import Dense


@dataclass(frozen=True, eq=False)
class Constant:
    """A tensor that does not depend on the photo.

    Attributes:
        values: float32, in the shape that the network's code gives them.
        source: index of the stored tensor that has these values in this order; None: they depend on no stored tensor.
    """

    values: torch.Tensor
    source: int | None


def nodes_of_constants(graph: fx.Graph) -> set[fx.Node]:
    """Return the nodes of a graph that do not depend on the photo."""
    nodes: set[fx.Node] = set()
    for node in graph.nodes:
        inputs = node.all_input_nodes
        if node.target in CASTS:  # to the photo's type and device: `self.mean.to(x)`
            inputs = inputs[:1]
        if node.op == "get_attr" or (node.op != "output" and inputs and all(each in nodes for each in inputs)):
            nodes.add(node)
    return nodes


def constant_values(traced: fx.GraphModule) -> dict[fx.Node, torch.Tensor]:
    """Return the values of all nodes of a graph that do not depend on the photo, computed from its tensors."""
    interpreter, nodes = fx.Interpreter(traced), nodes_of_constants(traced.graph)
    with torch.no_grad():
        for node in (each for each in traced.graph.nodes if each in nodes):
            is_cast = node.target in CASTS and not all(each in nodes for each in node.all_input_nodes)
            before = node.all_input_nodes[:1]
            interpreter.env[node] = interpreter.env[before[0]].float() if is_cast else interpreter.run_node(node)
    return {node: value for node, value in interpreter.env.items() if isinstance(value, torch.Tensor)}


def find_constants(network: nn.Module, graph: fx.Graph) -> Mapping[fx.Node, Constant]:
    """Return the constants that operations on the photo read; none whose values are computed from stored tensors.

    The network is traced again with other weights, so that values which depend on them change.

    Raises:
        Exception: of any kind; the network's own code runs here.
    """
    traced = graph.owning_module
    assert traced is not None
    values, nodes = constant_values(traced), nodes_of_constants(graph)
    read = {node: value for node, value in values.items() if set(node.users) - nodes}
    other = copy.deepcopy(network)
    generator = np.random.default_rng(0)
    set_weights(
        other,
        {
            name: Dense(np.asarray(generator.normal(size=tuple(tensor.shape)), np.float32))
            for name, tensor in stored_tensors(other).items()
            if tensor.is_floating_point()
        },
    )
    other_values = {node.name: value for node, value in constant_values(trace(other)).items()}
    pairs = list(zip(stored_tensors(network).values(), stored_tensors(other).values(), strict=True))
    constants = {}
    for node, value in read.items():
        changed = other_values[node.name]
        sources = [
            index
            for index, (tensor, changed_tensor) in enumerate(pairs)
            if _have_same_values(tensor, value) and _have_same_values(changed_tensor, changed)
        ]
        if sources or _have_same_values(value, changed):
            constants[node] = Constant(value.detach().float(), sources[0] if sources else None)
    return constants


def _have_same_values(left: torch.Tensor, right: torch.Tensor) -> bool:
    """Return whether two tensors have the same values in the same order, in any shape."""
    return left.numel() == right.numel() and torch.equal(left.flatten().float(), right.flatten().float())
