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
from compress.networks.tracing import argument

BINARY: Mapping[Any, str] = {
    **dict.fromkeys((operator.add, operator.iadd, torch.add, "add", "add_"), "Add"),
    **dict.fromkeys((operator.mul, operator.imul, torch.mul, torch.multiply, "mul", "mul_", "multiply"), "Mul"),
    **dict.fromkeys((operator.sub, operator.isub, torch.sub, torch.subtract, "sub", "sub_", "subtract"), "Sub"),
    **dict.fromkeys((operator.truediv, operator.itruediv, torch.div, torch.divide, torch.true_divide), "Div"),
    **dict.fromkeys(("div", "div_", "divide", "true_divide"), "Div"),
}
NEGATIONS = {operator.neg, torch.neg, "neg"}
SQUARES = {torch.square, "square"}
POWERS = {operator.pow, torch.pow, "pow"}
_COPIES = {"float", "contiguous", "clone", "detach"}
CASTS = {"to", "type_as"}
MEANS, MAXIMA, SUMS = {"mean", torch.mean}, {"amax", torch.amax}, {"sum", torch.sum}
REDUCTIONS = MEANS | MAXIMA | SUMS
LOG_SOFTMAXES = {"log_softmax", functional.log_softmax, torch.log_softmax, nn.LogSoftmax}
ACTIVATIONS: Mapping[Any, str] = {
    **dict.fromkeys((nn.ReLU, torch.relu, functional.relu, "relu", "relu_"), "Relu"),
    **dict.fromkeys((nn.Sigmoid, torch.sigmoid, functional.sigmoid, "sigmoid", "sigmoid_"), "Sigmoid"),
    **dict.fromkeys((nn.Tanh, torch.tanh, functional.tanh, "tanh", "tanh_"), "Tanh"),
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
    functional.elu: nn.ELU,
    functional.selu: nn.SELU,
    functional.celu: nn.CELU,
    functional.gelu: nn.GELU,
    functional.mish: nn.Mish,
    functional.dropout: nn.Dropout,
    functional.dropout2d: nn.Dropout2d,
    functional.alpha_dropout: nn.AlphaDropout,
}
"""Layers that functions compute without a module; dropout has no effect in evaluation mode."""

_WITHOUT_EFFECT = (
    nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout,
)  # fmt: skip
_CONCATENATIONS = {torch.cat, torch.concat, torch.concatenate}
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


def layer_of(node: fx.Node) -> nn.Module | None:
    """Return the layer that a call of a function computes; None: it is no layer, or an option depends on the photo.

    All photos have the size of the traced one, so options may depend on the size.
    """
    if node.target not in LAYERS:
        return None
    call = node.normalized_arguments(nn.Module(), normalize_to_only_use_kwargs=True)
    options = {name: value for name, value in call.kwargs.items() if value != []} if call else {}  # []: not given
    options = {name: value if name == "input" else with_numbers(value) for name, value in options.items()}
    if options.pop("training", False) or not options.pop("input", None) or any(map(nodes_in, options.values())):
        return None
    return LAYERS[node.target](**options)


def joins_channels(node: fx.Node) -> bool:
    """Return whether a node is a concatenation along the second dimension."""
    return joined_dimension(node) == 1


def joined_dimension(node: fx.Node) -> int | None:
    """Return the dimension of a concatenation; None: it is another operation."""
    dimension = argument(node, 1, "dim", 0)
    return dimension % len(shape(node)) if node.target in _CONCATENATIONS and isinstance(dimension, int) else None


def averages_positions(node: fx.Node) -> bool:
    """Return whether a node is the mean over height and width. The result may keep these dimensions."""
    return node.target in MEANS and reduced_dimensions(node) == [2, 3] and len(shape(node.all_input_nodes[0])) == 4


def reduced_dimensions(node: fx.Node) -> list[int]:
    """Return the dimensions of a mean, maximum or sum, in ascending order; none if it says none, or a type."""
    dimensions = argument(node, 1, "dim")
    dimensions = [dimensions] if isinstance(dimensions, int) else dimensions
    if "dtype" in node.kwargs or not isinstance(dimensions, list | tuple):
        return []
    return sorted(each % len(shape(node.all_input_nodes[0])) for each in dimensions if isinstance(each, int))


def flattens(node: fx.Node) -> bool:
    """Return whether a node makes a vector of each photo's values, in their order, however it is written."""
    if not is_reshape(node):
        return False
    photos, *extents = shape(node.all_input_nodes[0])
    return shape(node) == (photos, math.prod(extents))


def is_reshape(node: fx.Node) -> bool:
    """Return whether a node has the values of a tensor in their order, in another shape, such as `x[:, :, None]`."""
    if node.target is operator.getitem and isinstance(node.args[1], tuple):
        return None in node.args[1] and all(each in (None, Ellipsis, slice(None)) for each in node.args[1])
    return node.target in _RESHAPES and node.op != "get_attr"  # a parameter may have the name of a method


def adds_or_removes_ones(node: fx.Node) -> bool:
    """Return whether a node adds or removes dimensions of 1 at the end, as around the linear layers of a gate."""
    if not is_reshape(node):
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


def is_square(node: fx.Node) -> bool:
    """Return whether a node is the square of a tensor."""
    return (node.target in SQUARES and len(node.args) == 1 and not node.kwargs) or (
        node.target in POWERS and len(node.args) == 2 and not node.kwargs and with_numbers(node.args[1]) == 2
    )


def convolution_padding(layer: nn.Conv2d) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the zeros before and behind rows and columns, also of a padding by name."""
    if not isinstance(layer.padding, str):
        return layer.padding, layer.padding
    reaches = [step * (side - 1) for step, side in zip(layer.dilation, layer.kernel_size, strict=True)]
    total = reaches if layer.padding == "same" else [0, 0]
    return tuple(each // 2 for each in total), tuple(each - each // 2 for each in total)


def has_whole_windows(node: fx.Node, pool: nn.AvgPool2d) -> bool:
    """Return whether no window of an average pool reaches beyond the padding, as those of `ceil_mode` may."""
    settings = zip(*map(pair, (pool.kernel_size, pool.stride, pool.padding)), strict=True)
    sides = zip(shape(node.all_input_nodes[0])[2:], shape(node)[2:], settings, strict=True)
    return all((inside + 2 * padding - kernel) // stride + 1 == out for inside, out, (kernel, stride, padding) in sides)


def even_windows(x: fx.Node, node: fx.Node) -> list[int]:
    """Return the window of an adaptive pool of `x`; empty: windows differ, or overlap."""
    extents = list(zip(shape(x)[2:], shape(node)[2:], strict=True))
    is_even = not any(inside % outside for inside, outside in extents)
    return [inside // outside for inside, outside in extents] if is_even else []


def is_for_training(node: fx.Node, module: nn.Module | None) -> bool:
    """Return whether a node returns its input in evaluation mode."""
    if isinstance(module, _WITHOUT_EFFECT):
        return True
    name = f"{getattr(node.target, '__module__', '')}.{getattr(node.target, '__name__', '')}"
    if name != "torchvision.ops.stochastic_depth.stochastic_depth":  # torchvision lets torch.fx trace it as a whole
        return False
    options = dict(zip(("p", "mode", "training"), node.args[1:], strict=False)) | dict(node.kwargs)
    return options.get("training", True) is False


def is_copy(node: fx.Node) -> bool:
    """Return whether a node has the values of a tensor: a copy, or a cast to its own type."""
    if node.target in _COPIES:
        return True
    before = node.args[0] if node.target in CASTS else None
    if not isinstance(before, fx.Node) or not is_tensor(before):
        return False
    return bool(before.meta["tensor_meta"].dtype == node.meta["tensor_meta"].dtype)


def nodes_in(argument: Any) -> list[fx.Node]:
    """Return the nodes in an argument of a call."""
    found: list[fx.Node] = []
    fx.node.map_arg(argument, found.append)
    return found


def pair(sides: int | tuple[int, ...]) -> tuple[int, ...]:
    """Return a pool's setting for both directions."""
    return (sides, sides) if isinstance(sides, int) else tuple(sides)
