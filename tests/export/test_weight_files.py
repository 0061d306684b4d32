"""Export of state dictionaries with torchvision's names."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from small_models import shared_squeezenet
from torch import nn

from compress import container
from compress.errors import ConfigError
from compress.export import write_weights
from compress.networks.modules import builtin_network
from compress.weights.model_files import load_model
from compress.weights.user_network import UserNetwork


@pytest.fixture(scope="module")
def model():
    return shared_squeezenet()


def test_a_safetensors_file_has_the_dense_weights_by_name(model, tmp_path):
    write_weights(model, tmp_path / "model.safetensors")
    arrays = load_file(tmp_path / "model.safetensors")
    assert set(arrays) == set(model.tensors)
    for name, tensor in model.tensors.items():
        assert arrays[name].dtype == np.float32
        assert np.array_equal(arrays[name], tensor.to_dense())


@pytest.mark.parametrize("suffix", [".pth", ".pt"])
def test_torch_loads_the_weights_without_running_code(model, tmp_path, suffix):
    write_weights(model, tmp_path / f"model{suffix}")
    network = builtin_network("squeezenet1_1", 10)
    network.load_state_dict(torch.load(tmp_path / f"model{suffix}", weights_only=True))
    for name, parameter in network.named_parameters():
        assert np.array_equal(parameter.detach().numpy(), model.tensors[name].to_dense())


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_an_exported_file_can_be_loaded_as_a_checkpoint(model, tmp_path, suffix):
    write_weights(model, tmp_path / f"model{suffix}")
    loaded = load_model(tmp_path / f"model{suffix}")
    assert (loaded.architecture, loaded.classes) == ("squeezenet1_1", 10)
    for name, tensor in model.tensors.items():
        assert np.array_equal(loaded.tensors[name].to_dense(), tensor.to_dense())


@pytest.mark.parametrize("name", ["model.npz", "model", "model.sqz", "model.PTH"])
def test_an_unknown_suffix_is_an_error_and_no_file_is_written(model, tmp_path, name):
    with pytest.raises(ConfigError, match=r"allowed: \.safetensors, \.pth, \.pt, \.onnx"):
        write_weights(model, tmp_path / name)
    assert not list(tmp_path.iterdir())


class WithWrappedParts(nn.Module):
    """Compiles parts, one of which also has its own name, and spreads another over GPUs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.compiled, self.normed = torch.compile(self.first), torch.compile(nn.Sequential(self.norm, nn.ReLU()))
        self.second = nn.DataParallel(torch.compile(nn.Sequential(nn.Conv2d(8, 12, 3), nn.ReLU())))
        self.head = nn.Linear(12, 4)
        object.__setattr__(self, "uncompiled_names", torch.compile(self.head))

    def forward(self, x):
        return self.uncompiled_names(self.second(self.normed(self.compiled(x))).mean((2, 3)))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_tensors_of_wrapped_parts_have_the_names_of_the_users_network(tmp_path, suffix):
    function, path = f"{__name__}:WithWrappedParts", tmp_path / f"model{suffix}"
    made = UserNetwork(factory=function, input_size=16).load()
    assert made.program
    write_weights(container.decode(container.encode(made)), path)
    weights = load_file(path) if suffix == ".safetensors" else torch.load(path, weights_only=True)
    network = WithWrappedParts()
    network.load_state_dict({name: torch.as_tensor(array) for name, array in weights.items()}, strict=True)
    second = network.state_dict()["second.module._orig_mod.0.weight"]
    assert np.array_equal(second, made.tensors["second.0.weight"].to_dense())
    read = load_model(path, factory=function)
    assert list(read.tensors) == list(made.tensors)
    assert container.weights_sha256(read) == container.weights_sha256(made)
