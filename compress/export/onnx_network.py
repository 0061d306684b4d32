"""A model as an ONNX model: the network, its weights, preprocessing and labels.

`torch.onnx.export` is not used, because its output changes with the version of torch.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper
from onnx.reference import ReferenceEvaluator
from torch import Tensor, nn

from compress.errors import SqueezeError
from compress.export.onnx_operators import OperatorConverter
from compress.export.onnx_weights import StoreTensor
from compress.model import Model
from compress.networks.compared_output import OutputOptions, named_tensor
from compress.networks.equivalence import relative_difference, same_outputs
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
    with torch.no_grad():
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
    _check_logits(onnx_model, to_native_module(model), random_input(model.preprocessing, _CHECKED_PHOTOS), output)
    return onnx_model


def _check_logits(onnx_model: ModelProto, network: nn.Module, inputs: Tensor, output: OutputOptions) -> None:
    """Run both networks on inputs, shape (n, channels, height, width), and compare one output.

    Raises:
        SqueezeError: the logits differ, or the ONNX model does not run.
    """
    with torch.no_grad():
        expected = named_tensor(network(inputs.clone()), output)
    try:
        actual = torch.from_numpy(np.array(_run(onnx_model, inputs.numpy())))
    except Exception as error:  # runtimes have errors of their own
        raise SqueezeError(f"the network cannot be exported: its ONNX model does not run: {error}") from error
    if not same_outputs(expected, actual):
        difference = "shape" if expected.shape != actual.shape else f"{relative_difference(expected, actual):.2%}"
        operators = ", ".join(sorted({node.op_type for node in onnx_model.graph.node}))
        raise SqueezeError(
            f"the network cannot be exported: logits of its ONNX model differ from torch's ({difference}); one of its "
            f"operators computes something else, or torch.fx misses an in-place change: {operators}"
        )


def _run(onnx_model: ModelProto, inputs: NDArray[np.float32]) -> Any:
    """Return the logits, by ONNX Runtime if it is installed."""
    try:
        from onnxruntime import InferenceSession, SessionOptions  # noqa: PLC0415
    except ImportError:
        evaluator: Any = ReferenceEvaluator(onnx_model)
        return evaluator.run(None, {"input": inputs})[0]
    options = SessionOptions()
    options.log_severity_level = 3  # no warnings of tensors that no operation reads
    session = InferenceSession(onnx_model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"input": inputs})[0]
