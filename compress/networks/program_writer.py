"""The operations of a traced network in the kinds of a program; docs/format.md, "The program"."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import IntEnum
from textwrap import shorten
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from compress.networks.activations import Activation, activation_of
from compress.networks.channel_patterns import Padding, find_merged, find_picks, find_shuffles, padding_of, slice_of
from compress.networks.constants import Constant, find_constants, nodes_of_constants
from compress.networks.modules import stored_tensors
from compress.networks.operations import (
    BINARY,
    LOG_SOFTMAXES,
    MAXIMA,
    NEGATIONS,
    ONE_BY_ONE,
    REDUCTIONS,
    SUMS,
    adds_or_removes_ones,
    averages_positions,
    convolution_padding,
    even_windows,
    flattens,
    has_whole_windows,
    is_copy,
    is_for_training,
    is_in_place,
    is_square,
    is_tensor,
    joins_channels,
    layer_of,
    nodes_in,
    pair,
    reduced_dimensions,
    shape,
    with_numbers,
)
from compress.networks.tracing import argument

_MAX_OPERATIONS = 512
_ACTIVATION_IDS = {
    "Relu": 1, "HardSwish": 3, "HardSigmoid": 4, "Sigmoid": 5, "Swish": 6, "Tanh": 7, "LeakyRelu": 8, "Elu": 9,
    "Gelu": 10, "GeluTanh": 11, "Mish": 12, "Clip": 13,
}  # fmt: skip
_RELU6 = 2
_ON_MAPS = nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d
"""Layers that take three dimensions for one map, without that of photos."""

MAX_MESSAGE = 200
"""Characters of a part of a message."""


class _Kind(IntEnum):
    CONVOLUTION = 0
    LINEAR = 1
    MAX_POOL = 2
    AVERAGE_POOL = 3
    GLOBAL_AVERAGE = 4
    SUM = 5
    PRODUCT = 6
    CONCATENATION = 7
    ACTIVATION = 8
    NORM = 9
    SCALE = 10
    CHANNELS = 11
    PADDING = 12
    TENSOR = 13
    NUMBERS = 14
    DIFFERENCE = 15
    QUOTIENT = 16
    SLOPES = 17


_BINARY_KINDS = {"Add": _Kind.SUM, "Mul": _Kind.PRODUCT, "Sub": _Kind.DIFFERENCE, "Div": _Kind.QUOTIENT}


class UnsupportedError(Exception):
    """Programs do not have the operation of a node."""

    def __init__(self, node: fx.Node) -> None:
        self.node = node


def layer_name(name: str) -> str:
    """Return how a message names a layer."""
    return f"the layer {name}" if name else "the network"


def operation_words(node: fx.Node, modules: Mapping[str, nn.Module]) -> str:
    """Return what a node computes, and where, for a message; `modules` are those of its network by name."""
    if node.op == "call_module":
        module = shorten(repr(modules[str(node.target)]), MAX_MESSAGE)
        return f"the layer {node.target}, {module}, or not the way it is called"
    words = [*map(str, node.args), *(f"{name}={value}" for name, value in node.kwargs.items())]
    owner = next(reversed(node.meta.get("nn_module_stack") or {"": None}))
    name = getattr(node.target, "__name__", node.target)
    return shorten(f"the operation {name}({', '.join(words)})", MAX_MESSAGE) + f" in {layer_name(str(owner))}"


class ProgramWriter:
    """Appends an operation for each node.

    `_values` has the number of each node's result, 0 for the input. Values in `_wide` have several positions: in C
    their channels lie side by side, so that only linear layers can read them flat, by a permutation of their weights.
    Values in `_parts` are parts of another in torch, and copies in C.
    """

    def __init__(self, network: nn.Module, graph: fx.Graph) -> None:
        self._network, self._graph = network, graph
        self._constants: Mapping[fx.Node, Constant] | None = None
        self._operations: list[list[int]] = []
        self._values: dict[fx.Node, int] = {}
        self._wide: set[int] = {0}
        self._parts: set[int] = set()
        self._modules = dict(network.named_modules(remove_duplicate=False))
        self._tensors = {id(tensor): index for index, tensor in enumerate(stored_tensors(network).values())}
        self._shuffles, self._picks, self._merged = find_shuffles(graph), find_picks(graph), find_merged(graph)

    def write(self) -> list[list[int]]:
        own = nodes_of_constants(self._graph)
        steps = {step for shuffle in self._shuffles.values() for step in shuffle.steps}
        for patterns in (self._picks, self._merged):
            before = {node.all_input_nodes[0] for node in patterns}
            steps |= {node for node in before if set(node.users) <= set(patterns)}
        for node in self._graph.nodes:
            if node not in steps and node not in own and (is_tensor(node) or node.op == "output"):
                try:
                    self._values[node] = self._write_node(node)
                except UnsupportedError:
                    raise
                except Exception as error:  # a form of a call that none of the functions below expects
                    raise UnsupportedError(node) from error
        if not 0 < self._values[node] == len(self._operations) <= _MAX_OPERATIONS or self._values[node] in self._wide:
            raise UnsupportedError(node)
        return self._operations

    def describe(self, node: fx.Node) -> str:
        """Return what a node computes, and where, for a message."""
        if node.op == "output":
            return f"networks without operations, of more than {_MAX_OPERATIONS}, or that return a map as logits"
        return operation_words(node, self._modules)

    def _write_node(self, node: fx.Node) -> int:
        """Return the number of a node's result."""
        if node.op == "placeholder" and not self._values:
            return 0
        if node.op == "output" and isinstance(node.args[0], fx.Node):
            return self._values[node.args[0]]
        module = self._modules[str(node.target)] if node.op == "call_module" else None
        function = node.target if module is None else type(module)
        in_keywords = [each for value in node.kwargs.values() for each in nodes_in(value)]
        if (node.kwargs and module) or any(map(is_tensor, in_keywords)):  # inputs are read by position
            raise UnsupportedError(node)
        module = module or layer_of(node)
        if is_in_place(node, module) and not self._reads_alone(node):
            raise UnsupportedError(node)
        if len(_inputs(node)) == 1 and is_for_training(node, module):
            return self._values[node.all_input_nodes[0]]
        if len(_inputs(node)) == 1 and (activation := activation_of(node, module)):
            return self._write_activation(node, activation)
        if function in LOG_SOFTMAXES and _is_over_classes(node, module):
            return self._values[node.all_input_nodes[0]]  # probabilities do not change
        return self._write_function(node) if module is None else self._write_module(node, module)

    def _reads_alone(self, node: fx.Node) -> bool:
        """Return whether nothing else sees what a node changes in place: its input is no part of another value."""
        x = node.all_input_nodes[0]
        return self._readers(x) == {node} and self._values[x] not in self._parts

    def _readers(self, x: fx.Node) -> set[fx.Node]:
        """Return the nodes that read the value of a node, also by another name: `Flatten` and `Dropout` return it."""
        names = {name for name, value in self._values.items() if value == self._values[x]}
        readers = {reader for name in names for reader in name.users} - names
        return {reader for reader in readers if reader.op == "output" or "tensor_meta" in reader.meta}  # others: shape

    def _write_module(self, node: fx.Node, module: nn.Module) -> int:
        if isinstance(module, _ON_MAPS) and len(shape(node)) != 4:
            raise UnsupportedError(node)
        match module:
            case nn.Conv2d(padding_mode="zeros"):
                return self._write_convolution(node, module)
            case nn.Linear() if len(shape(node)) == 2:
                return self._add(_Kind.LINEAR, node, *self._tensors_of(module))
            case nn.BatchNorm1d() | nn.BatchNorm2d() if module.running_mean is not None and not module.training:
                return self._write_norm(node, module)
            case nn.MaxPool2d(dilation=1, return_indices=False) if _has_room(node, module):
                return self._add(_Kind.MAX_POOL, node, *_window(module), int(module.ceil_mode))
            case nn.AvgPool2d(divisor_override=None) if has_whole_windows(node, module):
                return self._add(_Kind.AVERAGE_POOL, node, *_window(module), int(module.count_include_pad))
            case nn.AdaptiveAvgPool2d() if module.output_size in ONE_BY_ONE:
                return self._add(_Kind.GLOBAL_AVERAGE, node)
            case nn.AdaptiveAvgPool2d() | nn.AdaptiveMaxPool2d(return_indices=False):
                return self._write_even_pool(node, module)
            case nn.PReLU():
                return self._write_pair(_Kind.SLOPES, node, self._source(node), module.weight)
            case nn.ChannelShuffle():
                return self._add_channels(node, self._source(node), 0, module.groups)
            case nn.ZeroPad2d() if padding := padding_of(node, module):
                return self._write_padding(node, padding)
            case nn.Flatten(start_dim=1, end_dim=-1):
                return self._values[node.all_input_nodes[0]]
        raise UnsupportedError(node)

    def _write_function(self, node: fx.Node) -> int:
        if pick := self._picks.get(node):
            return self._add_channels(node, pick.x, pick.first, 1)
        if node.target in BINARY and len(node.args) == 2 and not node.kwargs and len(_inputs(node)) == 2:
            return self._write_pair(_BINARY_KINDS[BINARY[node.target]], node, *_inputs(node))
        if node.target is torch.prelu and len(node.args) == len(_inputs(node)) == 2:
            return self._write_pair(_Kind.SLOPES, node, *_inputs(node))
        if is_square(node):
            return self._add(_Kind.PRODUCT, node, inputs=_inputs(node) * 2)
        if joins_channels(node):
            return self._add(_Kind.CONCATENATION, node)
        if flattens(node) or is_copy(node):
            return self._values[node.all_input_nodes[0]]
        if adds_or_removes_ones(node):
            return self._write_ones(node)
        if averages_positions(node):
            return self._add(_Kind.GLOBAL_AVERAGE, node)
        if node.target in REDUCTIONS:
            return self._write_reduction(node)
        if shuffle := self._shuffles.get(node):
            return self._add_channels(node, shuffle.x, 0, shuffle.groups)
        if (part := slice_of(node)) and part.x in self._values:
            return self._write_slice(node, part.x, part.first, part.steps)
        if padding := padding_of(node, None):
            return self._write_padding(node, padding)
        return self._write_scale(node)

    def _write_ones(self, node: fx.Node) -> int:
        """Return the value of a node that adds or removes dimensions of 1, but not to a flat map."""
        x = node.all_input_nodes[0]
        if len(shape(x)) == 2 and self._values[x] in self._wide:
            raise UnsupportedError(node)
        return self._values[x]

    def _write_padding(self, node: fx.Node, padding: Padding) -> int:
        before, behind = zip(padding.rows, padding.columns, strict=True)
        return self._add(_Kind.PADDING, node, *before, *behind, *padding.channels)

    def _write_convolution(self, node: fx.Node, layer: nn.Conv2d) -> int:
        """Write a convolution, after zeros around its input if padding by name is not the same on both sides."""
        x, (padding, behind) = self._values[self._source(node)], convolution_padding(layer)
        if padding != behind:
            x, padding = self._append(_Kind.PADDING, [x], *padding, *behind, 0, 0), (0, 0)
        window = *layer.stride, *padding, *layer.dilation
        fields = *self._tensors_of(layer), layer.groups, *window
        return self._mark(self._append(_Kind.CONVOLUTION, [x], *fields), node)

    def _write_norm(self, node: fx.Node, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> int:
        """Write a batch norm, whose tensors follow one another; weights without a bias are a product of their own."""
        tensors = [norm.weight, norm.bias] if norm.bias is not None else []
        numbers = [self._tensors[id(tensor)] for tensor in (*tensors, norm.running_mean, norm.running_var)]
        if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            raise UnsupportedError(node)
        value = self._add(_Kind.NORM, node, int(bool(tensors)), numbers[0], *_float_numbers(norm.eps))
        if norm.weight is None or tensors:
            return value
        weight = self._append(_Kind.TENSOR, [], self._tensors[id(norm.weight)], norm.num_features)
        return self._append_pair(_Kind.PRODUCT, node, [value, weight])

    def _write_even_pool(self, node: fx.Node, pool: nn.Module) -> int:
        """Write an adaptive pool, whose windows have one size and do not overlap."""
        kind = _Kind.AVERAGE_POOL if isinstance(pool, nn.AdaptiveAvgPool2d) else _Kind.MAX_POOL
        x = self._source(node)
        window = even_windows(x, node)
        if not window:
            raise UnsupportedError(node)
        return self._values[x] if window == [1, 1] else self._add(kind, node, *window, *window, 0, 0, 0)

    def _write_reduction(self, node: fx.Node) -> int:
        """Write a mean, sum or maximum over rows, columns, or both. A value of one row less stands for one column."""
        x, dimensions = self._source(node), reduced_dimensions(node)
        if node in self._merged:
            x, dimensions = self._merged[node], [2, 3]
        extents = [*shape(x)[2:], 1][:2]
        is_upright = len(shape(node)) != 3 or 2 not in dimensions
        if not dimensions or dimensions[0] < 2 or len(shape(x)) not in {3, 4} or not is_upright:
            raise UnsupportedError(node)
        window = [extent if axis in dimensions else 1 for axis, extent in enumerate(extents, 2)]
        kind = _Kind.MAX_POOL if node.target in MAXIMA else _Kind.AVERAGE_POOL
        value = self._add(kind, node, *window, *window, 0, 0, 0, inputs=[x])
        if node.target not in SUMS:
            return value
        return self._mark(
            self._append(_Kind.SCALE, [value], *_float_numbers(math.prod(window)), *_float_numbers(0.0)), node
        )

    def _write_slice(self, node: fx.Node, x: fx.Node, first: int, steps: tuple[int, int]) -> int:
        """Write some channels, or pixels in steps: the maxima of single pixels."""
        if steps == (1, 1):
            return self._add_channels(node, x, first, 1)
        if shape(node)[1] != shape(x)[1]:
            raise UnsupportedError(node)
        value = self._append(_Kind.MAX_POOL, [self._values[x]], 1, 1, *steps, 0, 0, 0)
        self._parts.add(value)
        return self._mark(value, node)

    def _write_scale(self, node: fx.Node) -> int:
        """Write a sum, difference, product or quotient with a number."""
        numbers = [with_numbers(each) for each in node.args if not (isinstance(each, fx.Node) and is_tensor(each))]
        is_first = len(node.args) > 0 and node.args[0] in _inputs(node)
        if len(_inputs(node)) != 1 or node.kwargs or len(numbers) != (node.target not in NEGATIONS):
            raise UnsupportedError(node)
        if node.target not in NEGATIONS | set(BINARY):
            raise UnsupportedError(node)
        number = float(numbers[0]) if numbers else 0.0
        match BINARY.get(node.target):
            case "Add":
                factor, summand = 1.0, number
            case "Sub":
                factor, summand = (1.0, -number) if is_first else (-1.0, number)
            case "Mul":
                factor, summand = number, 0.0
            case "Div" if is_first:
                factor, summand = 1 / number, 0.0
            case "Div":
                value = self._append(_Kind.NUMBERS, [], shape(node)[1], 1, *_float_numbers(number))
                return self._append_pair(_Kind.QUOTIENT, node, [value, self._values[_inputs(node)[0]]])
            case _:
                factor, summand = -1.0, 0.0
        return self._add(_Kind.SCALE, node, *_float_numbers(factor), *_float_numbers(summand))

    def _write_pair(self, kind: _Kind, node: fx.Node, *operands: fx.Node | nn.Parameter) -> int:
        """Write a sum, difference, product or quotient, or a PReLU. One of the two values may have one position."""
        values = [self._operand(node, each, kind is _Kind.SLOPES) for each in operands]
        shapes = [shape(each) for each in operands if isinstance(each, fx.Node) and each in self._values]
        if shape(node) not in shapes or any(each not in {shape(node), (*shape(node)[:2], 1, 1)} for each in shapes):
            raise UnsupportedError(node)
        is_swapped = kind in {_Kind.SUM, _Kind.PRODUCT} and shapes[0] != shape(node)
        return self._append_pair(kind, node, values[::-1] if is_swapped else values)

    def _append_pair(self, kind: _Kind, node: fx.Node, values: list[int]) -> int:
        if len(shape(node)) == 2 and self._wide & set(values):
            raise UnsupportedError(node)
        return self._mark(self._append(kind, values), node)

    def _operand(self, node: fx.Node, operand: fx.Node | nn.Parameter, is_by_channel: bool) -> int:
        """Return the number of a value, or write the numbers of the network's own tensor, one for each channel."""
        if isinstance(operand, fx.Node) and operand in self._values:
            return self._values[operand]
        dimensions, channels = len(shape(node)), shape(node)[1]
        if isinstance(operand, fx.Node):
            constant = self._constant(operand)
            extents = (*(1,) * dimensions, *constant.values.shape)[-max(dimensions, constant.values.dim()) :]
            if not is_by_channel and (len(extents) > dimensions or {1} != {*extents[:1], *extents[2:], 1}):
                raise UnsupportedError(node)
        else:
            constant = Constant(operand, self._tensors[id(operand)])
        if constant.values.numel() not in {1, channels}:
            raise UnsupportedError(node)
        if constant.source is not None:
            return self._append(_Kind.TENSOR, [], constant.source, channels)
        numbers = [each for value in constant.values.flatten().tolist() for each in _float_numbers(value)]
        return self._append(_Kind.NUMBERS, [], channels, int(len(numbers) == 2), *numbers)

    def _constant(self, node: fx.Node) -> Constant:
        if self._constants is None:
            self._constants = find_constants(self._network, self._graph)
        return self._constants[node]

    def _write_activation(self, node: fx.Node, activation: Activation) -> int:
        """Let the operation before apply an activation, if nothing else reads its result."""
        (x,) = _inputs(node)
        fields = _activation_fields(activation)
        if activation.factor_before != 1:
            self._values[node] = self._write_factor(node, x, activation.factor_before)
        value = self._values.get(node, self._values[x])
        before = self._operations[-1] if 0 < value == len(self._operations) else []
        is_alone = node in self._values or self._readers(x) == {node}
        if before and before[0] != _Kind.CONCATENATION and before[1] == 0 and is_alone:
            before[1:2] = fields
        else:
            value = self._add(_Kind.ACTIVATION, node)
            self._operations[-1][1:2] = fields
        self._values[node] = value
        return value if activation.factor_after == 1 else self._write_factor(node, node, activation.factor_after)

    def _write_factor(self, node: fx.Node, x: fx.Node, factor: float) -> int:
        """Write the product of a value and a number, as a step of another node."""
        return self._add(_Kind.SCALE, node, *_float_numbers(factor), *_float_numbers(0.0), inputs=[x])

    def _add(self, kind: _Kind, node: fx.Node, *fields: int, inputs: list[fx.Node] | None = None) -> int:
        """Append the operation of a node; return the number of its result."""
        inputs = _inputs(node) if inputs is None else inputs
        is_flat = any(len(shape(x)) == 2 and self._values[x] in self._wide for x in inputs)
        if is_flat and kind not in {_Kind.LINEAR, _Kind.ACTIVATION, _Kind.SCALE}:
            raise UnsupportedError(node)
        value = self._append(kind, [self._values[x] for x in inputs], *fields)
        if is_flat and kind is not _Kind.LINEAR:
            self._wide.add(value)
        return self._mark(value, node)

    def _add_channels(self, node: fx.Node, x: fx.Node, first: int, groups: int) -> int:
        """Append the choice of a node's channels from those of another one."""
        if len(shape(x)) == 2 and self._values[x] in self._wide:
            raise UnsupportedError(node)
        channels = shape(node)[1]
        value = self._append(_Kind.CHANNELS, [self._values[x]], first, channels, groups)
        if groups in {1, channels}:  # in their order
            self._parts.add(value)
        return self._mark(value, node)

    def _append(self, kind: _Kind, inputs: list[int], *fields: int) -> int:
        """Append an operation; return the number of its result."""
        value = len(self._operations) + 1
        count = [len(inputs)] if kind is _Kind.CONCATENATION else []
        self._operations.append([kind, 0, *count, *(value - each for each in inputs), *fields])
        return value

    def _mark(self, value: int, node: fx.Node) -> int:
        """Note whether a value has several positions."""
        if any(extent > 1 for extent in shape(node)[2:]):
            self._wide.add(value)
        return value

    def _source(self, node: fx.Node) -> fx.Node:
        """Return the only input of an operation on maps."""
        (x,) = _inputs(node)
        if len(shape(x)) != len(shape(node)) and node.target not in REDUCTIONS:
            raise UnsupportedError(node)
        return x

    def _tensors_of(self, layer: nn.Conv2d | nn.Linear) -> tuple[int, int]:
        return self._tensors[id(layer.weight)], 0 if layer.bias is None else self._tensors[id(layer.bias)] + 1


def _has_room(node: fx.Node, pool: nn.MaxPool2d) -> bool:
    """Return whether a window of a max pool fits into the padded map; with `ceil_mode` it may be larger."""
    sides = zip(shape(node.all_input_nodes[0])[2:], pair(pool.kernel_size), pair(pool.padding), strict=True)
    return all(kernel <= inside + 2 * padding for inside, kernel, padding in sides)


def _activation_fields(activation: Activation) -> list[int]:
    if activation == Activation("Clip", (0.0, 6.0)):
        return [_RELU6]
    return [_ACTIVATION_IDS[activation.name], *(field for each in activation.numbers for field in _float_numbers(each))]


def _is_over_classes(node: fx.Node, module: nn.Module | None) -> bool:
    """Return whether a log-softmax is over the classes of each photo, and is the network's output."""
    dimension = argument(node, 1, "dim", getattr(module, "dim", None))
    return len(shape(node)) == 2 and dimension in {1, -1, None} and [user.op for user in node.users] == ["output"]


def _inputs(node: fx.Node) -> list[fx.Node]:
    """Return the values that a node reads, in order; one may occur several times."""
    arguments: Any = node.args[0] if joins_channels(node) else node.args
    return [each for each in arguments if isinstance(each, fx.Node) and is_tensor(each)]


def _window(pool: nn.MaxPool2d | nn.AvgPool2d) -> tuple[int, ...]:
    return *pair(pool.kernel_size), *pair(pool.stride), *pair(pool.padding)


def _float_numbers(number: float) -> tuple[int, int]:
    """Return a finite number as float32: the lower and the upper 16 bits."""
    if not abs(number) <= np.finfo(np.float32).max:
        raise ValueError(number)
    bits = int(np.float32(number).view(np.uint32))
    return bits & 0xFFFF, bits >> 16
