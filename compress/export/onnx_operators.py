"""Conversion of torch operations to ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor, fx, nn

from compress.errors import SqueezeError
from compress.networks.compared_output import LOGITS, OutputOptions
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
    pair,
    shape,
    trace,
)
from compress.networks.tracing import is_altered


class OperatorConverter:
    """The operations of a network in ONNX: `nodes` from `input` to `logits`, and their `constants` but the weights."""

    def __init__(self, network: nn.Module, photo: Tensor, output: OutputOptions = LOGITS) -> None:
        """Convert one output of a network in evaluation mode; `photo` is an input of the right shape.

        Raises:
            SqueezeError: `torch.fx` cannot trace the network, or an operation is not supported.
        """
        try:
            graph = trace(network, photo, output)
        except Exception as error:  # the network's own code runs here, and may not support tracing
            problem = f"ONNX export needs torch.fx, which cannot trace the network: {error.__cause__ or error}"
            raise SqueezeError(problem) from error
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self._modules = dict(network.named_modules(remove_duplicate=False))
        tensors = reversed(network.state_dict(keep_vars=True).items())
        self._names = {id(tensor): name for name, tensor in tensors}  # reversed: the first name of a tensor remains
        self._taken = {"input", "logits", *network.state_dict()}
        self._results: dict[fx.Node, str] = {}
        for node in graph.nodes:
            if not is_tensor(node) and node.op != "output":
                continue  # a shape, which reshapes read
            self._results[node] = self._convert(node)
            if is_in_place(node, self._modules[str(node.target)] if node.op == "call_module" else None):
                old, new = self._results[node.all_input_nodes[0]], self._results[node]
                self._results = {each: new if name == old else name for each, name in self._results.items()}

    def _convert(self, node: fx.Node) -> str:
        """Add the operations of a node, and return the name of its result."""
        input_nodes: list[fx.Node] = []
        fx.node.map_arg((node.args, node.kwargs), input_nodes.append)  # with repetitions
        inputs = [self._results[each] for each in input_nodes if is_tensor(each)]
        if node.op == "placeholder":
            return "input"
        if node.op == "output" and self.nodes and list(self.nodes[-1].output) == inputs:
            self.nodes[-1].output[:] = ["logits"]
            return "logits"
        if node.op == "output" and len(inputs) == 1:
            self.nodes.append(helper.make_node("Identity", inputs, ["logits"]))
            return "logits"
        module = self._modules[str(node.target)] if node.op == "call_module" else None
        if module is not None and is_altered(module):
            problem = "has hooks, parametrizations or a forward of its own"
            raise SqueezeError(f"ONNX export supports layers as torch has them; {node.target} {problem}")
        activation = ACTIVATIONS.get(node.target if module is None else type(module))
        if activation and inputs:
            return self._convert_activation(activation, node.name, inputs[0])
        module = module or layer_of(node)
        result = self._convert_function(node, inputs) if module is None else self._convert_module(node, module, inputs)
        if result is None:
            raise SqueezeError(f"ONNX export does not support the network's operation {node.format_node()}")
        return result

    def _convert_module(self, node: fx.Node, module: nn.Module, inputs: list[str]) -> str | None:
        match module:
            case nn.Conv2d(padding_mode="zeros", padding=(top, left)):
                return self._add(
                    "Conv", node.name, *inputs, *self._tensor_names(module.weight, module.bias),
                    kernel_shape=module.kernel_size, strides=module.stride, pads=(top, left, top, left),
                    dilations=module.dilation, group=module.groups,
                )  # fmt: skip
            case nn.Linear() if len(shape(node)) == 2:
                tensors = self._tensor_names(module.weight, module.bias)
                return self._add("Gemm", node.name, *inputs, *tensors, transB=1)
            case nn.BatchNorm1d() | nn.BatchNorm2d() if module.affine and module.running_mean is not None:
                tensors = self._tensor_names(module.weight, module.bias, module.running_mean, module.running_var)
                return self._add("BatchNormalization", node.name, *inputs, *tensors, epsilon=module.eps)
            case nn.MaxPool2d(dilation=1, return_indices=False):
                return self._add_pool("MaxPool", node, module, inputs)
            case nn.AvgPool2d(divisor_override=None, ceil_mode=False):
                include_pad = int(module.count_include_pad)
                return self._add_pool("AveragePool", node, module, inputs, count_include_pad=include_pad)
            case nn.AdaptiveAvgPool2d() if module.output_size in ONE_BY_ONE:
                return self._add("GlobalAveragePool", node.name, *inputs)
            case nn.Flatten(start_dim=1, end_dim=-1):
                return self._add("Flatten", node.name, *inputs)
            case nn.Dropout() | nn.Dropout2d() | nn.Identity():  # no effect in evaluation mode
                return inputs[0]
        return None

    def _convert_function(self, node: fx.Node, inputs: list[str]) -> str | None:
        if node.target in BINARY and len(inputs) == len(node.args) == 2 and not node.kwargs:
            return self._add(BINARY[node.target], node.name, *inputs)
        if joins_channels(node):
            return self._add("Concat", node.name, *inputs, axis=1)
        if flattens(node):
            return self._add("Flatten", node.name, *inputs)
        if adds_or_removes_ones(node):
            extents = np.array([0, *shape(node)[1:]])  # 0: the number of photos
            self.constants.append(numpy_helper.from_array(extents, f"{node.name}_shape"))
            return self._add("Reshape", node.name, *inputs, f"{node.name}_shape")
        if averages_positions(node) and len(shape(node)) == 4:
            return self._add("GlobalAveragePool", node.name, *inputs)
        if averages_positions(node):
            return self._add("Flatten", node.name, self._add("GlobalAveragePool", f"{node.name}_2d", *inputs))
        return None

    def _convert_activation(self, activation: str, name: str, x: str) -> str:
        match activation:
            case "Clip":
                bounds = {f"{name}_least": np.float32(0), f"{name}_most": np.float32(6)}
                self.constants += [numpy_helper.from_array(np.array(value), bound) for bound, value in bounds.items()]
                return self._add("Clip", name, x, *bounds)
            case "HardSigmoid":  # relu6(x + 3) / 6
                return self._add("HardSigmoid", name, x, alpha=1 / 6, beta=0.5)
            case "HardSwish" | "Swish":
                gate = "HardSigmoid" if activation == "HardSwish" else "Sigmoid"
                return self._add("Mul", name, x, self._convert_activation(gate, f"{name}_gate", x))
        return self._add(activation, name, x)

    def _add_pool(
        self, operation: str, node: fx.Node, pool: nn.MaxPool2d | nn.AvgPool2d, inputs: list[str], **more: int
    ) -> str:
        padding = pair(pool.padding)
        return self._add(
            operation, node.name, *inputs, kernel_shape=pair(pool.kernel_size), strides=pair(pool.stride),
            pads=padding * 2 if any(padding) else None, ceil_mode=int(pool.ceil_mode), **more,
        )  # fmt: skip

    def _tensor_names(self, *tensors: Tensor | None) -> list[str]:
        return [self._names[id(tensor)] for tensor in tensors if tensor is not None]

    def _add(self, operation: str, result: str, *inputs: str, **attributes: Any) -> str:
        while result in self._taken:
            result += "_"
        self._taken.add(result)
        self.nodes.append(helper.make_node(operation, inputs, [result], **attributes))
        return result
