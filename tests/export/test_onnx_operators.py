"""Operations in ONNX: what the runtime in C runs is exported, other operations are named, and logits are torch's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from program_networks import HEIGHT, NETWORKS, WIDTH
from torch import nn
from torch.nn import functional

from compress.errors import SqueezeError
from compress.export import write_weights
from compress.model import Model
from compress.networks.modules import to_module
from compress.networks.preprocessing_options import PreprocessingOptions
from compress.weights.user_network import UserNetwork

INPUT = PreprocessingOptions(HEIGHT, WIDTH, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
PHOTOS = np.random.default_rng(0).normal(size=(3, 3, HEIGHT, WIDTH)).astype(np.float32)


def model_of(factory: str, **args: object) -> Model:
    return UserNetwork(factory=factory, args=args, preprocessing=INPUT).load()


def assert_exported(model: Model, folder: Path) -> onnx.ModelProto:
    """Compare logits in ONNX Runtime, for any number of photos, and in another runtime with torch's."""
    write_weights(model, folder / "model.onnx")
    network = onnx.load(folder / "model.onnx")
    onnx.checker.check_model(network, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(network.SerializeToString(), options, providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        expected = to_module(model)(torch.from_numpy(PHOTOS)).numpy()
    limit = 1e-5 * np.abs(expected).max()
    for photos in (slice(3), slice(1)):
        (logits,) = session.run(None, {"input": PHOTOS[photos]})
        assert np.abs(logits - expected[photos]).max() <= limit
    if not any(node.op_type == "BatchNormalization" for node in network.graph.node):  # it takes the photo's statistics
        (logits,) = ReferenceEvaluator(network).run(None, {"input": PHOTOS[:1]})
        assert np.abs(logits - expected[:1]).max() <= limit
    return network


@pytest.mark.parametrize("name", [*NETWORKS, "a log-softmax"])
def test_every_network_that_runs_in_c_is_exported(name, tmp_path):
    model = model_of("program_networks:make", name=name)
    assert model.program
    assert_exported(model, tmp_path)


class Calls(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.first, self.function = nn.Conv2d(3, 6, 3, 2), FUNCTIONS.get(name) or REFUSED[name][0]
        self.own = nn.Parameter(torch.arange(1.0, 7.0).view(6, 1, 1))

    def forward(self, x):
        return self.function(self.first(x), self.own).flatten(1)


def calls(name: str) -> nn.Module:
    return Calls(name)


FUNCTIONS = {
    "a mean of rows": lambda x, own: x - x.mean(2, keepdim=True),
    "a mean of channels": lambda x, own: x * x.mean(1, keepdim=True),
    "a maximum of channels": lambda x, own: x + x.amax(dim=1, keepdim=True),
    "a concatenation of rows": lambda x, own: torch.cat([x, x], 2),
    "some rows in steps": lambda x, own: x[:, 1:5, 1::2, :-1],
    "a channel": (lambda x, own: x[:, 0].amax(2) + x[:, 1, :, 2]),
    "pieces of the rows": lambda x, own: torch.cat([x.split(3, 2)[1], x.chunk(2, 2)[0][:, :, 1:]], 1),
    "a transposition": lambda x, own: x.transpose(1, -1).amax(3).permute(0, 2, 1).flatten(1),
    "a view that mixes channels": lambda x, own: x.view(x.size(0), 3, 2, 8, 6).amax(2),
    "a tensor that is computed from weights": lambda x, own: x * own.exp().flip(0) - own.log(),
    "a tensor before the photo's": lambda x, own: own / (x.abs() + 1) - own.view(1, 6, 1, 1),
    "slopes by a function": lambda x, own: functional.prelu(x, own.flatten()),
    "in place": lambda x, own: functional.elu(functional.hardtanh(x, -1, 1, True), 0.5, True).sub_(1).clamp_(-0.5) + x,
    "flat maps": lambda x, own: 2 / (x.flatten(1).square() + 1) - x.flatten(1),
    "a padding of channels": lambda x, own: functional.pad(x, (1, 2, 0, 1, 2, 3)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name, tmp_path):
    assert_exported(model_of(f"{__name__}:calls", name=name), tmp_path)


REFUSED = {
    "an unknown function": (lambda x, own: torch.erf(x), r"operation erf\("),
    "a part of the photos": (lambda x, own: x[0:1] + x, "operation|differ|not run"),
    "a choice of channels": (lambda x, own: x[:, [0, 2]], r"operation getitem\("),
    "padding that cuts": (lambda x, own: functional.pad(x, (-1, 0, 0, 0)), r"operation pad\("),
    "a tensor for each photo": (
        lambda x, own: torch.cat([x.mean(2), own.view(1, 6, 1).expand(x.size(0), 6, 1)], 2),
        "oper",
    ),
    "reflections": (lambda x, own: functional.pad(x, (1, 1, 1, 1), "reflect"), r"operation pad\("),
    "a concatenation of pieces": (lambda x, own: torch.cat(x.chunk(2, 2), 1), r"operation cat\("),
    "a rounded quotient": (lambda x, own: torch.div(x, own, rounding_mode="floor"), r"operation div\("),
    "a multiple": (lambda x, own: torch.sub(x, own, alpha=2), r"operation sub\("),
    "uneven pools": (lambda x, own: functional.adaptive_avg_pool2d(x, 5), r"operation adaptive_avg_pool2d\("),
    "a mean over the photos": (lambda x, own: x - x.mean(0, keepdim=True), r"operation mean\("),
    "photos as channels": (lambda x, own: x.transpose(0, 1).mean((2, 3)).transpose(0, 1) + 1, r"operation transpose\("),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_operations_are_refused_by_name(name, tmp_path):
    with pytest.raises(SqueezeError, match=REFUSED[name][1]):
        write_weights(model_of(f"{__name__}:calls", name=name), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
