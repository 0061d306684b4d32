"""The operations of a network, as `torch.fx` traces them, for conversion to other forms."""

from __future__ import annotations

import io
import math
import operator
from collections.abc import Mapping
from contextlib import redirect_stderr
from typing import Any

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp, TensorMetadata
from torch.nn import functional

from compress.networks import tracing
from compress.networks.compared_output import LOGITS, OutputOptions, named_tensor

BINARY: Mapping[Any, str] = {
    **dict.fromkeys((operator.add, operator.iadd, torch.add, "add", "add_"), "Add"),
    **dict.fromkeys((operator.mul, operator.imul, torch.mul, "mul", "mul_"), "Mul"),
}
ACTIVATIONS: Mapping[Any, str] = {
    **dict.fromkeys((nn.ReLU, torch.relu, functional.relu, "relu", "relu_"), "Relu"),
    **dict.fromkeys((nn.Sigmoid, torch.sigmoid, functional.sigmoid, "sigmoid"), "Sigmoid"),
    **dict.fromkeys((nn.Tanh, torch.tanh, functional.tanh, "tanh"), "Tanh"),
    **dict.fromkeys((nn.ReLU6, functional.relu6), "Clip"),
    **dict.fromkeys((nn.Hardsigmoid, functional.hardsigmoid), "HardSigmoid"),
    **dict.fromkeys((nn.Hardswish, functional.hardswish), "HardSwish"),
    **dict.fromkeys((nn.SiLU, functional.silu), "Swish"),
}
"""ONNX operators of torch's functions, methods and module classes. HardSwish and Swish are newer than our set."""

LAYERS: Mapping[Any, type[nn.Module]] = {
    functional.max_pool2d: nn.MaxPool2d,
    functional.avg_pool2d: nn.AvgPool2d,
    functional.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
    functional.adaptive_max_pool2d: nn.AdaptiveMaxPool2d,
    functional.leaky_relu: nn.LeakyReLU,
    functional.hardtanh: nn.Hardtanh,
    functional.dropout: nn.Dropout,
    functional.dropout2d: nn.Dropout2d,
}
"""Layers that functions compute without a module; dropout has no effect in evaluation mode."""

_CONCATENATIONS = {torch.cat, torch.concat, torch.concatenate}
_MEANS = {"mean", torch.mean}
_RESHAPES = {
    *("flatten", "view", "reshape", "squeeze", "unsqueeze"),
    *(torch.flatten, torch.reshape, torch.squeeze, torch.unsqueeze),
}
_IN_PLACE = {operator.iadd, operator.isub, operator.imul, operator.itruediv}

ONE_BY_ONE = {1, (1, 1)}
"""Output sizes of an adaptive pool that averages over all positions."""


class _ShapeRecorder(ShapeProp):
    """Records shapes of tensors, and numbers that depend on them in `node.meta["number"]`."""

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, int | tuple):  # a shape is a tuple
            n.meta["number"] = result
        return result


def trace(network: nn.Module, photo: torch.Tensor, output: OutputOptions = LOGITS) -> fx.Graph:
    """Return the graph of one of a network's outputs, with shapes for an input in `node.meta["tensor_meta"]`.

    Raises:
        Exception: of any kind; the network's own code runs here, and may not support tracing.
    """
    traced = tracing.trace(network)
    if output != LOGITS:
        result = traced.graph.output_node()
        result.args = (named_tensor(result.args[0], output),)
        traced.graph.eliminate_dead_code()
        traced.recompile()
    with torch.no_grad(), redirect_stderr(io.StringIO()):  # ShapeProp prints a traceback before it raises
        _ShapeRecorder(traced).propagate(photo)
    return traced.graph


def is_in_place(node: fx.Node, module: nn.Module | None) -> bool:
    """Return whether a node changes its first input, which later nodes then read changed.

    Args:
        node: of a graph.
        module: that it calls; None: it calls none.
    """
    if getattr(module, "inplace", False) or node.kwargs.get("inplace", False):
        return True
    if node.target in ACTIVATIONS and len(node.args) > 1 and node.args[1]:  # functional.relu(x, True)
        return True
    return node.target in _IN_PLACE or (node.op == "call_method" and str(node.target).endswith("_"))


def layer_of(node: fx.Node, size_is_fixed: bool = False) -> nn.Module | None:
    """Return the layer that a call of a function computes; None: it is no layer, or an option depends on the photo.

    Args:
        node: of a graph.
        size_is_fixed: all photos have the size of the traced one, so that options may depend on it.
    """
    if node.target not in LAYERS:
        return None
    call = node.normalized_arguments(nn.Module(), normalize_to_only_use_kwargs=True)
    options = {name: value for name, value in call.kwargs.items() if value != []} if call else {}  # []: not given
    if size_is_fixed:
        options = {name: value if name == "input" else with_numbers(value) for name, value in options.items()}
    if options.pop("training", False) or not options.pop("input", None) or any(map(nodes_in, options.values())):
        return None
    return LAYERS[node.target](**options)


def joins_channels(node: fx.Node) -> bool:
    """Return whether a node is a concatenation along the second dimension."""
    dimension = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
    return node.target in _CONCATENATIONS and isinstance(dimension, int) and dimension % len(shape(node)) == 1


def averages_positions(node: fx.Node) -> bool:
    """Return whether a node is the mean over height and width. The result may keep these dimensions."""
    return node.target in _MEANS and reduced_dimensions(node) == [2, 3] and len(shape(node.all_input_nodes[0])) == 4


def reduced_dimensions(node: fx.Node) -> list[int]:
    """Return the dimensions that a mean or maximum is over, in ascending order; none if it says none, or a type."""
    dimensions = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    dimensions = [dimensions] if isinstance(dimensions, int) else dimensions
    if "dtype" in node.kwargs or not isinstance(dimensions, list | tuple):
        return []
    return sorted(each % len(shape(node.all_input_nodes[0])) for each in dimensions if isinstance(each, int))


def flattens(node: fx.Node) -> bool:
    """Return whether a node makes a vector of each photo's values, in their order, however it is written."""
    if not _is_reshape(node):
        return False
    photos, *extents = shape(node.all_input_nodes[0])
    return shape(node) == (photos, math.prod(extents))


def _is_reshape(node: fx.Node) -> bool:
    return node.target in _RESHAPES and node.op != "get_attr"  # a parameter may have the name of a method


def adds_or_removes_ones(node: fx.Node) -> bool:
    """Return whether a node adds or removes dimensions of 1 at the end, as around the linear layers of a gate."""
    if not _is_reshape(node):
        return False
    shorter, longer = sorted((shape(node.all_input_nodes[0]), shape(node)), key=len)
    return longer == shorter + (1,) * (len(longer) - len(shorter))


def shape(node: fx.Node) -> tuple[int, ...]:
    """Return the shape of a traced tensor, which `is_tensor` tells from other values."""
    return tuple(node.meta["tensor_meta"].shape)


def is_tensor(node: fx.Node) -> bool:
    """Return whether a node is a tensor, and not a shape or a number that reshapes read."""
    return isinstance(node.meta.get("tensor_meta"), TensorMetadata)  # `chunk` returns several


def with_numbers(argument: Any) -> Any:
    """Return an argument of a call with the numbers of the traced photo for nodes that depend on its size."""
    return fx.node.map_arg(argument, lambda node: node.meta.get("number", node))


def nodes_in(argument: Any) -> list[fx.Node]:
    """Return the nodes in an argument of a call."""
    found: list[fx.Node] = []
    fx.node.map_arg(argument, found.append)
    return found


def pair(sides: int | tuple[int, ...]) -> tuple[int, ...]:
    """Return a pool's setting for both directions."""
    return (sides, sides) if isinstance(sides, int) else tuple(sides)
