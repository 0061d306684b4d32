"""The operations of a network, as `torch.fx` traces them, for conversion to other forms."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp
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

_IN_PLACE = {operator.iadd, operator.imul}

ONE_BY_ONE = {1, (1, 1)}
"""Output sizes of an adaptive pool that averages over all positions."""


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
    with torch.inference_mode():
        ShapeProp(traced).propagate(photo)
    return traced.graph


def is_in_place(node: fx.Node, module: nn.Module | None) -> bool:
    """Return whether a node changes its first input, which later nodes then read changed.

    Args:
        node: of a graph.
        module: that it calls; None: it calls none.
    """
    if getattr(module, "inplace", False) or node.kwargs.get("inplace", False):
        return True
    return node.target in _IN_PLACE or (node.op == "call_method" and str(node.target).endswith("_"))


def pair(sides: int | tuple[int, ...]) -> tuple[int, ...]:
    """Return a pool's setting for both directions."""
    return (sides, sides) if isinstance(sides, int) else tuple(sides)
