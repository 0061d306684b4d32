"""Check of an ONNX model: it gives the logits of the torch network."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto
from onnx.reference import ReferenceEvaluator
from torch import Tensor, nn

from compress.errors import SqueezeError
from compress.networks.compared_output import LOGITS, OutputOptions, named_tensor
from compress.networks.equivalence import relative_difference, same_outputs


def check_logits(onnx_model: ModelProto, network: nn.Module, inputs: Tensor, output: OutputOptions = LOGITS) -> None:
    """Run both networks on inputs, shape (n, channels, height, width), and compare one output.

    Raises:
        SqueezeError: the logits differ, or the ONNX model does not run.
    """
    with torch.inference_mode():
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
        from onnxruntime import InferenceSession  # noqa: PLC0415
    except ImportError:
        evaluator: Any = ReferenceEvaluator(onnx_model)
        return evaluator.run(None, {"input": inputs})[0]
    session = InferenceSession(onnx_model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"input": inputs})[0]
