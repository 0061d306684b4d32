"""A model as an ONNX model: the network, its weights, preprocessing and labels.

`torch.onnx.export` is not used, because its output changes with the version of torch.
"""

from __future__ import annotations

import json
from dataclasses import asdict

import torch
from onnx import ModelProto, TensorProto, helper

from compress.export.onnx_check import check_logits
from compress.export.onnx_operators import OperatorConverter
from compress.export.onnx_weights import StoreTensor
from compress.model import Model
from compress.networks.compared_output import named_tensor
from compress.networks.factory import output_of
from compress.networks.modules import check_input, random_input, to_native_module, zero_input

OPSET, IR_VERSION = 13, 7
"""Versions of 2020, which all current runtimes read."""

_CHECKED_PHOTOS = 2


def to_onnx(model: Model, store: StoreTensor) -> ModelProto:
    """Return a model in ONNX, as docs/onnx.md describes it. Tensors keep their names; `store` converts each.

    Raises:
        WeightsError: the tensors or the preprocessing do not fit the network.
        SqueezeError: the network has an unsupported operation, or the logits of the ONNX model differ from torch's.
    """
    network, output, photo = to_native_module(model), output_of(model), zero_input(model.preprocessing)
    check_input(network, model)
    converted = OperatorConverter(network, photo, output)
    tensors = [store(name, tensor) for name, tensor in model.tensors.items()]
    pre = model.preprocessing
    input_shape: list[str | int | None] = ["batch", len(pre.channels), pre.height, pre.width]
    with torch.inference_mode():
        shape = named_tensor(network(photo), output).shape[1:]
    graph = helper.make_graph(
        [*(node for tensor in tensors for node in tensor.nodes), *converted.nodes],
        model.architecture,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, input_shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", *shape])],
        [*(constant for tensor in tensors for constant in tensor.constants), *converted.constants],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    onnx_model = helper.make_model(graph, producer_name="squeeze-compress", ir_version=IR_VERSION, opset_imports=opsets)
    for name, value in {**asdict(model.preprocessing), "labels": model.labels}.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        onnx_model.metadata_props.add(key=name, value=text)
    # The network that was traced may remember it.
    check_logits(onnx_model, to_native_module(model), random_input(model.preprocessing, _CHECKED_PHOTOS), output)
    return onnx_model
