"""A network as a program of operations that the runtime in C interprets; docs/format.md, "The program"."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from torch import fx, nn

from compress.codecs.primitives.varint import encode_varint
from compress.model import Preprocessing
from compress.networks.compared_output import LOGITS, ComparedOutput
from compress.networks.modules import stored_tensors, zero_input
from compress.networks.operations import (
    ACTIVATIONS,
    BINARY,
    ONE_BY_ONE,
    adds_or_removes_ones,
    averages_positions,
    flattens,
    is_in_place,
    is_tensor,
    joins_channels,
    layer_of,
    nodes_in,
    pair,
    shape,
    trace,
)
from compress.networks.tracing import is_altered

_MAX_OPERATIONS = 512
_ACTIVATION_IDS = {"Relu": 1, "Clip": 2, "HardSwish": 3, "HardSigmoid": 4, "Sigmoid": 5, "Swish": 6}


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


class _UnsupportedError(Exception):
    """Programs do not have the operation of a node."""


def network_program(network: nn.Module, preprocessing: Preprocessing, output: ComparedOutput = LOGITS) -> bytes:
    """Return a network's program; empty if it has other operations or hooks, or `torch.fx` cannot trace it.

    Args:
        network: in evaluation mode. Its tensors are numbered in the order of `stored_tensors`.
        preprocessing: of its input.
        output: what is compared of its outputs: a program has logits alone.
    """
    if not output.is_classes or any(map(is_altered, network.modules())):
        return b""
    try:
        graph = trace(network, zero_input(preprocessing), output)
        operations = _ProgramWriter(network).write(graph)
    except Exception:  # _UnsupportedError, or from the network's own code, which may not support tracing
        return b""
    numbers = [len(operations), *(number for operation in operations for number in operation)]
    return b"".join(encode_varint(number) for number in numbers)


class _ProgramWriter:
    """Appends an operation for each node.

    `_values` has the number of each node's result, 0 for the input. Values in `_wide` have several positions: in C
    their channels lie side by side, so that only linear layers can read them flat, by a permutation of their weights.
    """

    def __init__(self, network: nn.Module) -> None:
        self._operations: list[list[int]] = []
        self._values: dict[fx.Node, int] = {}
        self._wide: set[int] = {0}
        self._modules = dict(network.named_modules(remove_duplicate=False))
        self._tensors = {id(tensor): index for index, tensor in enumerate(stored_tensors(network).values())}

    def write(self, graph: fx.Graph) -> list[list[int]]:
        for node in graph.nodes:
            if is_tensor(node) or node.op == "output":
                self._values[node] = self._write_node(node)
        if not 0 < self._values[node] == len(self._operations) <= _MAX_OPERATIONS or self._values[node] in self._wide:
            raise _UnsupportedError(node)
        return self._operations

    def _write_node(self, node: fx.Node) -> int:
        """Return the number of a node's result."""
        if node.op == "placeholder" and not self._values:
            return 0
        if node.op == "output" and isinstance(node.args[0], fx.Node):
            return self._values[node.args[0]]
        module = self._modules[str(node.target)] if node.op == "call_module" else None
        function = node.target if module is None else type(module)
        if (node.kwargs and module) or any(map(nodes_in, node.kwargs.values())):  # inputs are read by position
            raise _UnsupportedError(node)
        if is_in_place(node, module) and self._readers(node.all_input_nodes[0]) != {node}:
            raise _UnsupportedError(node)
        if function in ACTIVATIONS:
            return self._write_activation(node, _ACTIVATION_IDS[ACTIVATIONS[function]])
        module = module or layer_of(node)
        return self._write_function(node) if module is None else self._write_module(node, module)

    def _readers(self, x: fx.Node) -> set[fx.Node]:
        """Return the nodes that read the value of a node, also by another name: `Flatten` and `Dropout` return it."""
        names = {name for name, value in self._values.items() if value == self._values[x]}
        readers = {reader for name in names for reader in name.users} - names
        return {reader for reader in readers if reader.op == "output" or is_tensor(reader)}  # others read the shape

    def _write_module(self, node: fx.Node, module: nn.Module) -> int:
        match module:
            case nn.Conv2d(padding_mode="zeros", padding=(_, _)):
                window = *module.stride, *module.padding, *module.dilation
                return self._add(_Kind.CONVOLUTION, node, *self._tensors_of(module), module.groups, *window)
            case nn.Linear() if len(shape(node)) == 2:
                return self._add(_Kind.LINEAR, node, *self._tensors_of(module))
            case nn.MaxPool2d(dilation=1, return_indices=False):
                return self._add(_Kind.MAX_POOL, node, *_window(module), int(module.ceil_mode))
            case nn.AvgPool2d(divisor_override=None, ceil_mode=False):
                return self._add(_Kind.AVERAGE_POOL, node, *_window(module), int(module.count_include_pad))
            case nn.AdaptiveAvgPool2d() if module.output_size in ONE_BY_ONE:
                return self._add(_Kind.GLOBAL_AVERAGE, node)
            case nn.Dropout() | nn.Dropout2d() | nn.Identity() | nn.Flatten(start_dim=1, end_dim=-1):
                return self._values[node.all_input_nodes[0]]
        raise _UnsupportedError(node)

    def _write_function(self, node: fx.Node) -> int:
        if node.target in BINARY and len(node.args) == 2 and not node.kwargs:
            return self._write_binary(node, BINARY[node.target])
        if joins_channels(node):
            return self._add(_Kind.CONCATENATION, node)
        if flattens(node) or adds_or_removes_ones(node):
            return self._values[node.all_input_nodes[0]]
        if averages_positions(node):
            return self._add(_Kind.GLOBAL_AVERAGE, node)
        raise _UnsupportedError(node)

    def _write_binary(self, node: fx.Node, name: str) -> int:
        """Write a sum of equal shapes, or a product, whose second factor may have one position."""
        shapes = [shape(each) for each in _inputs(node)]
        if shapes == [shape(node)] * 2:
            return self._add(_Kind.SUM if name == "Add" else _Kind.PRODUCT, node)
        if name == "Mul" and (*shape(node)[:2], 1, 1) in shapes:
            return self._add(_Kind.PRODUCT, node, is_swapped=shapes[0] != shape(node))
        raise _UnsupportedError(node)

    def _write_activation(self, node: fx.Node, identifier: int) -> int:
        """Let the operation before apply an activation, if nothing else reads its result."""
        (x,) = _inputs(node)
        value = self._values[x]
        before = self._operations[-1] if 0 < value == len(self._operations) else []
        if before and before[0] != _Kind.CONCATENATION and before[1] == 0 and self._readers(x) == {node}:
            before[1] = identifier
            return value
        is_wide = value in self._wide
        value = self._add(_Kind.ACTIVATION, node)
        self._operations[-1][1] = identifier
        if is_wide:
            self._wide.add(value)
        return value

    def _add(self, kind: _Kind, node: fx.Node, *fields: int, is_swapped: bool = False) -> int:
        """Append the operation of a node."""
        value, inputs = len(self._operations) + 1, _inputs(node)
        readers_of_flat = (_Kind.LINEAR, _Kind.ACTIVATION)
        if kind not in readers_of_flat and any(len(shape(x)) == 2 and self._values[x] in self._wide for x in inputs):
            raise _UnsupportedError(node)
        distances = [value - self._values[x] for x in (reversed(inputs) if is_swapped else inputs)]
        count = [len(distances)] if kind is _Kind.CONCATENATION else []
        self._operations.append([kind, 0, *count, *distances, *fields])
        if any(extent > 1 for extent in shape(node)[2:]):
            self._wide.add(value)
        return value

    def _tensors_of(self, layer: nn.Conv2d | nn.Linear) -> tuple[int, int]:
        return self._tensors[id(layer.weight)], 0 if layer.bias is None else self._tensors[id(layer.bias)] + 1


def _inputs(node: fx.Node) -> list[fx.Node]:
    """Return the values that a node reads, in order; one may occur several times."""
    arguments: Any = node.args[0] if joins_channels(node) else node.args
    return [each for each in arguments if isinstance(each, fx.Node)]


def _window(pool: nn.MaxPool2d | nn.AvgPool2d) -> tuple[int, ...]:
    return *pair(pool.kernel_size), *pair(pool.stride), *pair(pool.padding)
