"""Conversion of torch operations to ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor, fx, nn
from torch.nn import functional

from compress.errors import SqueezeError
from compress.export.onnx_activations import Step, activation_steps
from compress.networks.activations import activation_of
from compress.networks.channel_patterns import padding_of, piece_of, slices_of, transposed_dimensions
from compress.networks.compared_output import LOGITS, OutputOptions
from compress.networks.constants import constant_values, nodes_of_constants
from compress.networks.operations import (
    BINARY,
    LOG_SOFTMAXES,
    MAXIMA,
    NEGATIONS,
    ONE_BY_ONE,
    REDUCTIONS,
    SUMS,
    averages_positions,
    convolution_padding,
    even_windows,
    flattens,
    has_whole_windows,
    is_copy,
    is_for_training,
    is_in_place,
    is_reshape,
    is_square,
    is_tensor,
    joined_dimension,
    layer_of,
    nodes_in,
    pair,
    reduced_dimensions,
    shape,
    trace,
    with_numbers,
)
from compress.networks.program_writer import operation_words
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
        assert graph.owning_module is not None
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self._modules = dict(network.named_modules(remove_duplicate=False))
        self._stored = network.state_dict(keep_vars=True)
        tensors = reversed(self._stored.items())
        self._names = {id(tensor): name for name, tensor in tensors}  # reversed: the first name of a tensor remains
        self._taken = {"input", "logits", *self._stored}
        self._results: dict[fx.Node, str] = {}
        self._own, self._values = nodes_of_constants(graph), constant_values(graph.owning_module)
        for node in graph.nodes:
            if node in self._own or (not is_tensor(node) and node.op != "output"):
                continue  # a constant, or a shape, which reshapes read
            try:
                self._results[node] = self._convert(node)
                if is_in_place(node, self._layer_of(node)):
                    self._replace_result(self._results[node.all_input_nodes[0]], self._results[node])
            except SqueezeError:
                raise
            except Exception as error:  # a form of a call that no function below expects
                raise self._unsupported(node) from error

    def _unsupported(self, node: fx.Node) -> SqueezeError:
        return SqueezeError(
            f"ONNX export does not support {operation_words(node, self._modules)}; torch.onnx.export may convert the "
            "network that compress.load returns"
        )

    def _replace_result(self, old: str, new: str) -> None:
        self._results = {node: new if name == old else name for node, name in self._results.items()}

    def _layer_of(self, node: fx.Node) -> nn.Module | None:
        """Return the layer that a node calls, or that a function computes."""
        return self._modules[str(node.target)] if node.op == "call_module" else layer_of(node)

    def _convert(self, node: fx.Node) -> str:
        """Add the operations of a node, and return the name of its result."""
        if node.op == "placeholder":
            return "input"
        inputs = self._inputs(node)
        if node.op == "output" and self.nodes and list(self.nodes[-1].output) == inputs:
            self.nodes[-1].output[:] = ["logits"]
            return "logits"
        if node.op == "output" and len(inputs) == 1:
            self.nodes.append(helper.make_node("Identity", inputs, ["logits"]))
            return "logits"
        module = self._layer_of(node)
        if node.op == "call_module" and module is not None and is_altered(module):
            problem = "has hooks, parametrizations or a forward of its own"
            raise SqueezeError(f"ONNX export supports layers as torch has them; {node.target} {problem}")
        if len(inputs) == 1 and is_for_training(node, module):
            return inputs[0]
        if len(inputs) == 1 and (activation := activation_of(node, module)):
            return self._add_steps(node.name, activation_steps(activation), inputs[0])
        result = self._convert_function(node, inputs) if module is None else self._convert_module(node, module, inputs)
        if result is None:
            raise self._unsupported(node)
        return result

    def _inputs(self, node: fx.Node) -> list[str]:
        """Return the names of the tensors that a node reads, with repetitions."""
        return [self._name_of(each) for each in nodes_in((node.args, node.kwargs)) if is_tensor(each)]

    def _name_of(self, node: fx.Node) -> str:
        """Return the name of a result, or of a tensor of the network's own, which becomes a constant if need be."""
        if node not in self._own:
            return self._results[node]
        if node.op == "get_attr" and str(node.target) in self._stored:
            return self._names[id(self._stored[str(node.target)])]
        if node not in self._results:
            self._results[node] = self._constant(node.name, self._values[node].detach().float().numpy())
        return self._results[node]

    def _convert_module(self, node: fx.Node, module: nn.Module, inputs: list[str]) -> str | None:
        name = node.name
        match module:
            case nn.Conv2d(padding_mode="zeros"):
                before, behind = convolution_padding(module)
                return self._add(
                    "Conv", name, *inputs, *self._tensor_names(module.weight, module.bias),
                    kernel_shape=module.kernel_size, strides=module.stride, pads=(*before, *behind),
                    dilations=module.dilation, group=module.groups,
                )  # fmt: skip
            case nn.Linear() if len(shape(node)) == 2:
                tensors = self._tensor_names(module.weight, module.bias)
                return self._add("Gemm", name, *inputs, *tensors, transB=1)
            case nn.BatchNorm1d() | nn.BatchNorm2d() if module.running_mean is not None:
                return self._convert_norm(node, module, inputs)
            case nn.PReLU():
                return self._convert_slopes(node, inputs[0], self._names[id(module.weight)], module.weight.numel())
            case nn.ChannelShuffle():
                return self._convert_shuffle(node, module.groups, inputs[0])
            case nn.ZeroPad2d():
                return self._convert_padding(node, module, inputs[0])
            case nn.LogSoftmax(dim=int()):
                return self._add("LogSoftmax", name, *inputs, axis=module.dim)
            case nn.Flatten(start_dim=1, end_dim=-1):
                return self._add("Flatten", name, *inputs)
        return self._convert_pool(node, module, inputs)

    def _convert_pool(self, node: fx.Node, pool: nn.Module, inputs: list[str]) -> str | None:
        match pool:
            case nn.MaxPool2d(dilation=1, return_indices=False):
                return self._add_pool("MaxPool", node, pool, inputs, ceil_mode=int(pool.ceil_mode))
            case nn.AvgPool2d(divisor_override=None) if has_whole_windows(node, pool):
                include_pad = int(pool.count_include_pad)
                return self._add_pool("AveragePool", node, pool, inputs, ceil_mode=0, count_include_pad=include_pad)
            case nn.AdaptiveAvgPool2d() if pool.output_size in ONE_BY_ONE:
                return self._add("GlobalAveragePool", node.name, *inputs)
            case nn.AdaptiveAvgPool2d() | nn.AdaptiveMaxPool2d(return_indices=False):
                return self._convert_even_pool(node, pool, inputs)
        return None

    def _convert_function(self, node: fx.Node, inputs: list[str]) -> str | None:
        name = node.name
        if node.target in BINARY and len(node.args) == 2 and not node.kwargs and inputs:
            return self._add(BINARY[node.target], name, *(self._operand(node, each) for each in node.args))
        if node.target in NEGATIONS and len(inputs) == 1:
            return self._add("Neg", name, *inputs)
        if is_square(node):
            return self._add("Mul", name, *inputs * 2)
        if inputs and (dimension := joined_dimension(node)):
            return self._add("Concat", name, *inputs, axis=dimension)
        if is_copy(node):
            return inputs[0]
        if averages_positions(node):
            pooled = self._add("GlobalAveragePool", name if len(shape(node)) == 4 else f"{name}_2d", *inputs)
            return pooled if len(shape(node)) == 4 else self._add("Flatten", name, pooled)
        if node.target in REDUCTIONS:
            return self._convert_reduction(node, inputs[0])
        if node.target in LOG_SOFTMAXES:
            axis = node.args[1] if len(node.args) > 1 else node.kwargs["dim"]
            return None if node.kwargs.get("dtype") else self._add("LogSoftmax", name, *inputs, axis=axis)
        if node.target is torch.prelu and isinstance(slopes := node.args[1], fx.Node):
            return self._convert_slopes(node, inputs[0], inputs[1], self._values[slopes].numel())
        return self._convert_arrangement(node, inputs)

    def _convert_arrangement(self, node: fx.Node, inputs: list[str]) -> str | None:
        """Convert what only moves values: reshapes, transpositions, slices and padding."""
        if flattens(node):
            return self._add("Flatten", node.name, *inputs)
        if is_reshape(node):
            return self._reshape(node.name, shape(node), inputs[0])
        if dimensions := transposed_dimensions(node):
            return self._add("Transpose", node.name, *inputs, perm=dimensions)
        if (part := piece_of(node)) and part.x in self._results:
            return self._slice(node, self._results[part.x], [part.dimension], [part.range])
        if ranges := slices_of(node):
            return self._slice(node, inputs[0], [*range(len(ranges))], ranges)
        return self._convert_padding(node, None, inputs[0]) if node.target is functional.pad else None

    def _operand(self, node: fx.Node, argument: Any) -> str:
        """Return the name of a tensor, or of a constant for a number."""
        if isinstance(argument, fx.Node) and is_tensor(argument):
            return self._name_of(argument)
        return self._constant(f"{node.name}_number", np.array(float(with_numbers(argument)), np.float32))

    def _convert_norm(self, node: fx.Node, norm: nn.BatchNorm1d | nn.BatchNorm2d, inputs: list[str]) -> str:
        ones = np.ones(norm.num_features, np.float32)
        tensors = self._tensor_names(norm.weight) or [self._constant(f"{node.name}_scale", ones)]
        tensors += self._tensor_names(norm.bias) or [self._constant(f"{node.name}_shift", 0 * ones)]
        statistics = self._tensor_names(norm.running_mean, norm.running_var)
        return self._add("BatchNormalization", node.name, *inputs, *tensors, *statistics, epsilon=norm.eps)

    def _convert_even_pool(self, node: fx.Node, pool: nn.Module, inputs: list[str]) -> str | None:
        """Convert an adaptive pool, whose windows have one size and do not overlap."""
        operation = "AveragePool" if isinstance(pool, nn.AdaptiveAvgPool2d) else "MaxPool"
        window = even_windows(node.all_input_nodes[0], node)
        return self._add(operation, node.name, *inputs, kernel_shape=window, strides=window) if window else None

    def _convert_slopes(self, node: fx.Node, x: str, slopes: str, count: int) -> str:
        """Convert a PReLU, whose slopes belong to channels: without a shape, ONNX would apply them to columns."""
        if count > 1 and len(shape(node)) > 2:
            shaped = f"{node.name}_slopes"
            extents = (count, *(1,) * (len(shape(node)) - 2))
            slopes = self._add("Reshape", shaped, slopes, self._constant(f"{shaped}_shape", np.array(extents)))
        return self._add("PRelu", node.name, x, slopes)

    def _convert_shuffle(self, node: fx.Node, groups: int, x: str) -> str:
        photos, channels, *extents = shape(node)
        grouped = self._reshape(f"{node.name}_groups", (photos, groups, channels // groups, *extents), x)
        order = [0, 2, 1, *range(3, 3 + len(extents))]
        return self._reshape(node.name, shape(node), self._add("Transpose", f"{node.name}_order", grouped, perm=order))

    def _convert_padding(self, node: fx.Node, module: nn.Module | None, x: str) -> str | None:
        padding = padding_of(node, module)
        if padding is None:
            return None
        before, behind = zip((0, 0), padding.channels, padding.rows, padding.columns, strict=True)
        return self._add("Pad", node.name, x, self._constant(f"{node.name}_pads", np.array((*before, *behind))))

    def _convert_reduction(self, node: fx.Node, x: str) -> str | None:
        axes, before = reduced_dimensions(node), len(shape(node.all_input_nodes[0]))
        if not axes or axes[0] < 1 or len(shape(node)) not in {before, before - len(axes)}:
            return None
        keepdims = int(len(shape(node)) == before)
        if node.target in SUMS:  # whose dimensions became an input before those of the others
            return self._add(
                "ReduceSum", node.name, x, self._constant(f"{node.name}_axes", np.array(axes)), keepdims=keepdims
            )
        operation = "ReduceMax" if node.target in MAXIMA else "ReduceMean"
        return self._add(operation, node.name, x, axes=axes, keepdims=keepdims)

    def _slice(self, node: fx.Node, x: str, axes: list[int], ranges: list[range]) -> str:
        """Add a slice of all dimensions but the photos."""
        used = [(axis, each) for axis, each in zip(axes, ranges, strict=True) if axis > 0]
        columns = {
            "starts": [each.start for _, each in used], "ends": [each.stop for _, each in used],
            "axes": [axis for axis, _ in used], "steps": [each.step for _, each in used],
        }  # fmt: skip
        names = [self._constant(f"{node.name}_{word}", np.array(numbers)) for word, numbers in columns.items()]
        if len(ranges) <= len(shape(node)):
            return self._add("Slice", node.name, x, *names)
        return self._reshape(node.name, shape(node), self._add("Slice", f"{node.name}_slice", x, *names))

    def _reshape(self, result: str, extents: tuple[int, ...], x: str) -> str:
        """Reshape each photo; 0 stands for the number of photos."""
        return self._add("Reshape", result, x, self._constant(f"{result}_shape", np.array([0, *extents[1:]])))

    def _add_steps(self, name: str, steps: list[Step], x: str) -> str:
        """Add the steps of an activation."""
        results: list[str] = []
        for number, (operation, arguments, attributes) in enumerate(steps):
            step = name if number + 1 == len(steps) else f"{name}_{number}"
            inputs = [
                x if each == "x" else results[each] if isinstance(each, int)
                else self._constant(f"{step}_{place}", np.array(each, np.float32))
                for place, each in enumerate(arguments)
            ]  # fmt: skip
            results.append(self._add(operation, step, *inputs, **attributes))
        return results[-1]

    def _add_pool(
        self, operation: str, node: fx.Node, pool: nn.MaxPool2d | nn.AvgPool2d, inputs: list[str], **more: int
    ) -> str:
        padding = pair(pool.padding)
        return self._add(
            operation, node.name, *inputs, kernel_shape=pair(pool.kernel_size), strides=pair(pool.stride),
            pads=padding * 2 if any(padding) else None, **more,
        )  # fmt: skip

    def _tensor_names(self, *tensors: Tensor | None) -> list[str]:
        return [self._names[id(tensor)] for tensor in tensors if tensor is not None]

    def _constant(self, name: str, values: NDArray[Any]) -> str:
        name = self._unused(name)
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def _add(self, operation: str, result: str, *inputs: str, **attributes: Any) -> str:
        result = self._unused(result)
        self.nodes.append(helper.make_node(operation, inputs, [result], **attributes))
        return result

    def _unused(self, name: str) -> str:
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name
