"""A network as an ONNX model, from prepared photos to logits, with all that is needed to use it.

Written operation by operation and not with `torch.onnx.export`: that has other exporters, with other packages, from one
version of torch to the next, and what it writes changes with them. A SqueezeNet takes six operators.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import torch
from onnx import ModelProto, NodeProto, TensorProto, helper
from torch import fx, nn

from compress.errors import SqueezeError
from compress.export.onnx_weights import Storing
from compress.model import Model
from compress.networks import check_input, to_module

OPSET, IR_VERSION = 13, 7
"""Of 2020: nothing newer is needed, and a runtime takes no file that is newer than it."""


def to_onnx(model: Model, storing: Storing) -> ModelProto:
    """Make the ONNX model of a network.

    Its input `input` is float32, (batch, channels, height, width), as `compress.data.transforms.to_input` gives it; its
    output `logits` is float32, (batch, classes). docs/onnx.md describes it.

    Args:
        model: the network; its tensors keep their names.
        storing: in which form each tensor is stored.
    Raises:
        WeightsError: the tensors are not those of the architecture, or it cannot take photos as they are prepared.
        SqueezeError: the network has an operation that is not known here.
    """
    check_input(model)
    operations = _Translation(model).nodes
    stored = [storing(name, tensor) for name, tensor in model.tensors.items()]
    pre = model.preprocessing
    shape = ["batch", 1 if pre.channels == "L" else 3, pre.height, pre.width]
    graph = helper.make_graph(
        [*(node for each in stored for node in each.nodes), *operations],
        model.architecture,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", model.classes])],
        [constant for each in stored for constant in each.constants],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    made = helper.make_model(graph, producer_name="squeeze-compress", ir_version=IR_VERSION, opset_imports=opsets)
    helper.set_model_props(made, _metadata(model))
    return made


def _metadata(model: Model) -> dict[str, str]:
    """Return preprocessing and labels by name: words as they are, numbers and lists as JSON."""
    values = {**asdict(model.preprocessing), "labels": model.labels}
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in values.items()
    }


class _Translation:
    """Goes through a network's operations and writes each as ONNX's; of weights it needs the names alone."""

    def __init__(self, model: Model) -> None:
        network = to_module(model)
        self.modules = dict(network.named_modules())
        self.nodes: list[NodeProto] = []
        self.results: dict[fx.Node, str] = {}
        for node in fx.symbolic_trace(network).graph.nodes:
            self.results[node] = self._step(node)

    def _step(self, node: fx.Node) -> str:
        """Write one operation, and return the name of its result."""
        inputs = [self.results[each] for each in node.all_input_nodes]
        what: Any = self.modules[str(node.target)] if node.op == "call_module" else node.target
        match what:
            case _ if node.op == "placeholder":
                return "input"
            case _ if node.op == "output" and list(self.nodes[-1].output) == inputs:
                self.nodes[-1].output[:] = ["logits"]
                return "logits"
            case nn.Conv2d(padding_mode="zeros", padding=(top, left)):
                return self._write(
                    "Conv", node.name, *inputs, *(f"{node.target}.{name}" for name, _ in what.named_parameters()),
                    kernel_shape=what.kernel_size, strides=what.stride, pads=(top, left, top, left),
                    dilations=what.dilation, group=what.groups,
                )  # fmt: skip
            case nn.MaxPool2d(kernel_size=int(side), stride=int(step), padding=0, dilation=1):
                return self._write(
                    "MaxPool", node.name, *inputs,
                    kernel_shape=(side, side), strides=(step, step), ceil_mode=int(what.ceil_mode),
                )  # fmt: skip
            case nn.ReLU() | "relu":
                return self._write("Relu", node.name, *inputs)
            case nn.Dropout():  # drops nothing in evaluation mode
                return inputs[0]
            case torch.cat if node.args[1:] == (1,):
                return self._write("Concat", node.name, *inputs, axis=1)
            case "mean" if node.args[1:] == ((2, 3),):
                return self._write("Flatten", node.name, self._write("GlobalAveragePool", f"{node.name}_2d", *inputs))
        raise SqueezeError(f"no ONNX operator is known here for the network's {node.format_node()}")

    def _write(self, operator: str, result: str, *inputs: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [result], **attributes))
        return result
