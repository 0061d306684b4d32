"""A network as an ONNX model, from prepared photos to logits, with all that is needed to use it.

Written operation by operation and not with `torch.onnx.export`: that has other exporters, with other packages, from one
version of torch to the next, and what it writes changes with them.
"""

from __future__ import annotations

import json
from dataclasses import asdict

from onnx import ModelProto, TensorProto, helper

from compress.export.onnx_operators import Translation
from compress.export.onnx_weights import Storing
from compress.model import Model
from compress.networks.modules import check_input, no_photo, to_module

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
    translated = Translation(to_module(model), no_photo(model.preprocessing))
    stored = [storing(name, tensor) for name, tensor in model.tensors.items()]
    pre = model.preprocessing
    shape = ["batch", 1 if pre.channels == "L" else 3, pre.height, pre.width]
    graph = helper.make_graph(
        [*(node for each in stored for node in each.nodes), *translated.nodes],
        model.architecture,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", model.classes])],
        [*(constant for each in stored for constant in each.constants), *translated.constants],
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
