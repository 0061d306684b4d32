"""A torch network's operations as ONNX's: those of SqueezeNets, ResNets, MobileNets and networks like them."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional

from compress.errors import SqueezeError

_SUMS: tuple[Any, ...] = (operator.add, operator.iadd, torch.add, "add", "add_")
_PRODUCTS: tuple[Any, ...] = (operator.mul, operator.imul, torch.mul, "mul", "mul_")
_ONE_BY_ONE = {1, (1, 1)}


class Translation:
    """Goes through a network's operations and writes each as ONNX's; of weights it needs the names alone.

    Attributes:
        nodes: operations, in order; from `input` to `logits`.
        constants: what they need beside the network's tensors.
    """

    def __init__(self, network: nn.Module, photo: Tensor) -> None:
        """Translate.

        Args:
            network: in evaluation mode.
            photo: an input of the shape that it takes.
        Raises:
            SqueezeError: it cannot be traced, or has an operation that is not known here.
        """
        try:
            traced = fx.symbolic_trace(network)
            with torch.inference_mode():
                ShapeProp(traced).propagate(photo)
        except Exception as error:  # the network's own code runs here, and may not take being traced
            raise SqueezeError(f"the network cannot be traced, as ONNX needs it: {error}") from error
        self.modules = dict(network.named_modules(remove_duplicate=False))
        named = network.state_dict(keep_vars=True).items()
        self.names = {id(tensor): name for name, tensor in reversed(list(named))}  # the first, as the model has it
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.results: dict[fx.Node, str] = {}
        for node in traced.graph.nodes:
            self.results[node] = self._step(node)

    def _step(self, node: fx.Node) -> str:
        """Write one operation, and return the name of its result."""
        inputs = [self.results[each] for each in node.all_input_nodes]
        if node.op == "placeholder":
            return "input"
        if node.op == "output" and self.nodes and list(self.nodes[-1].output) == inputs:
            self.nodes[-1].output[:] = ["logits"]
            return "logits"
        found = None
        if node.op == "call_module":
            found = self._module(node, self.modules[str(node.target)], inputs)
        elif node.op in {"call_function", "call_method"}:
            found = self._function(node, node.target, inputs)
        if found is None:
            raise SqueezeError(f"no ONNX operator is known here for the network's {node.format_node()}")
        return found

    def _module(self, node: fx.Node, module: nn.Module, inputs: list[str]) -> str | None:
        match module:
            case nn.Conv2d(padding_mode="zeros", padding=(top, left)):
                return self._write(
                    "Conv", node.name, *inputs, *self._tensors(module.weight, module.bias),
                    kernel_shape=module.kernel_size, strides=module.stride, pads=(top, left, top, left),
                    dilations=module.dilation, group=module.groups,
                )  # fmt: skip
            case nn.Linear() if len(_shape(node)) == 2:
                return self._write(
                    "Gemm", node.name, *inputs, *self._tensors(module.weight, module.bias), transB=1
                )  # fmt: skip
            case nn.BatchNorm1d() | nn.BatchNorm2d() if module.affine and module.running_mean is not None:
                tensors = self._tensors(module.weight, module.bias, module.running_mean, module.running_var)
                return self._write("BatchNormalization", node.name, *inputs, *tensors, epsilon=module.eps)
            case nn.MaxPool2d(dilation=1, return_indices=False):
                return self._pool("MaxPool", node, module, inputs)
            case nn.AvgPool2d(divisor_override=None, ceil_mode=False):
                count = int(module.count_include_pad)
                return self._pool("AveragePool", node, module, inputs, count_include_pad=count)
            case nn.AdaptiveAvgPool2d() if module.output_size in _ONE_BY_ONE:
                return self._write("GlobalAveragePool", node.name, *inputs)
            case nn.Flatten(start_dim=1, end_dim=-1):
                return self._write("Flatten", node.name, *inputs)
            case nn.Dropout() | nn.Dropout2d() | nn.Identity():  # drops nothing in evaluation mode
                return inputs[0]
        write = next((write for kinds, write in _ACTIVATIONS if type(module) in kinds), None)
        return None if write is None else write(self, node.name, inputs[0])

    def _function(self, node: fx.Node, what: Any, inputs: list[str]) -> str | None:
        both = len(inputs) == 2 and len(node.args) == 2 and not node.kwargs
        if what in _SUMS and both:
            return self._write("Add", node.name, *inputs)
        if what in _PRODUCTS and both:
            return self._write("Mul", node.name, *inputs)
        if what is torch.cat and node.args[1:] == (1,):
            return self._write("Concat", node.name, *inputs, axis=1)
        if what in {"flatten", torch.flatten} and node.args[1:] in {(1,), (1, -1)}:
            return self._write("Flatten", node.name, *inputs)
        if what == "mean" and node.args[1:] == ((2, 3),) and not node.kwargs:
            return self._write("Flatten", node.name, self._write("GlobalAveragePool", f"{node.name}_2d", *inputs))
        write = next((write for kinds, write in _ACTIVATIONS if what in kinds), None)
        return None if write is None else write(self, node.name, inputs[0])

    def _pool(self, kind: str, node: fx.Node, pool: nn.MaxPool2d | nn.AvgPool2d, inputs: list[str], **more: int) -> str:
        padding = _pair(pool.padding)
        if any(padding):
            more["pads"] = (*padding, *padding)  # type: ignore[assignment]
        return self._write(
            kind, node.name, *inputs,
            kernel_shape=_pair(pool.kernel_size), strides=_pair(pool.stride), ceil_mode=int(pool.ceil_mode), **more,
        )  # fmt: skip

    def _tensors(self, *tensors: Tensor | None) -> list[str]:
        return [self.names[id(tensor)] for tensor in tensors if tensor is not None]

    def simple(self, operation: str, name: str, given: str) -> str:
        """Write an activation that is an operator of ONNX."""
        return self._write(operation, name, given)

    def relu6(self, name: str, given: str) -> str:
        """Write `min(max(x, 0), 6)`."""
        bounds = [self._constant(f"{name}_{end}", value) for end, value in (("least", 0.0), ("most", 6.0))]
        return self._write("Clip", name, given, *bounds)

    def hard_sigmoid(self, name: str, given: str) -> str:
        """Write `relu6(x + 3) / 6`."""
        return self._write("HardSigmoid", name, given, alpha=1 / 6, beta=0.5)

    def hard_swish(self, name: str, given: str) -> str:
        """Write `x * hard_sigmoid(x)`, which operator set 13 has no name for."""
        return self._write("Mul", name, given, self.hard_sigmoid(f"{name}_gate", given))

    def swish(self, name: str, given: str) -> str:
        """Write `x * sigmoid(x)`."""
        return self._write("Mul", name, given, self._write("Sigmoid", f"{name}_gate", given))

    def _constant(self, name: str, value: float) -> str:
        self.constants.append(numpy_helper.from_array(np.array(value, np.float32), name))
        return name

    def _write(self, operation: str, result: str, *inputs: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operation, inputs, [result], **attributes))
        return result


_ACTIVATIONS: tuple[tuple[tuple[Any, ...], Callable[[Translation, str, str], str]], ...] = (
    ((nn.ReLU, torch.relu, functional.relu, "relu", "relu_"), lambda to, *of: to.simple("Relu", *of)),
    ((nn.Sigmoid, torch.sigmoid, functional.sigmoid, "sigmoid"), lambda to, *of: to.simple("Sigmoid", *of)),
    ((nn.Tanh, torch.tanh, functional.tanh, "tanh"), lambda to, *of: to.simple("Tanh", *of)),
    ((nn.ReLU6, functional.relu6), Translation.relu6),
    ((nn.Hardsigmoid, functional.hardsigmoid), Translation.hard_sigmoid),
    ((nn.Hardswish, functional.hardswish), Translation.hard_swish),
    ((nn.SiLU, functional.silu), Translation.swish),
)
"""Modules, functions and methods that are one activation, and what writes it from the result's name and the input's."""


def _shape(node: fx.Node) -> tuple[int, ...]:
    found: tuple[int, ...] = tuple(node.meta["tensor_meta"].shape)
    return found


def _pair(size: int | tuple[int, ...]) -> tuple[int, ...]:
    return (size, size) if isinstance(size, int) else tuple(size)
