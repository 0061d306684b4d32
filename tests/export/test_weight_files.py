"""`decompress` writes weights that other programs read, under torchvision's names."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from small import shared_squeezenet

from compress.errors import ConfigError
from compress.export import write_weights
from compress.networks.model_files import load_model
from compress.networks.modules import build


@pytest.fixture(scope="module")
def model():
    return shared_squeezenet()


def test_safetensors_hold_the_dense_weights_by_name(model, tmp_path):
    write_weights(model, tmp_path / "model.safetensors")
    arrays = load_file(tmp_path / "model.safetensors")
    assert set(arrays) == set(model.tensors)
    for name, tensor in model.tensors.items():
        assert arrays[name].dtype == np.float32
        assert np.array_equal(arrays[name], tensor.to_dense())


@pytest.mark.parametrize("suffix", [".pth", ".pt"])
def test_torch_loads_them_into_the_network_without_running_code(model, tmp_path, suffix):
    write_weights(model, tmp_path / f"model{suffix}")
    network = build("squeezenet1_1", 10)
    network.load_state_dict(torch.load(tmp_path / f"model{suffix}", weights_only=True))
    for name, parameter in network.named_parameters():
        assert np.array_equal(parameter.detach().numpy(), model.tensors[name].to_dense())


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_what_is_written_is_a_checkpoint_of_this_package_too(model, tmp_path, suffix):
    write_weights(model, tmp_path / f"model{suffix}")
    again = load_model(tmp_path / f"model{suffix}")
    assert (again.architecture, again.classes) == ("squeezenet1_1", 10)
    for name, tensor in model.tensors.items():
        assert np.array_equal(again.tensors[name].to_dense(), tensor.to_dense())


@pytest.mark.parametrize("name", ["model.npz", "model", "model.sqz", "model.PTH"])
def test_another_ending_is_a_configuration_error_and_nothing_is_written(model, tmp_path, name):
    with pytest.raises(ConfigError, match=r"allowed: \.safetensors, \.pth, \.pt, \.onnx"):
        write_weights(model, tmp_path / name)
    assert not list(tmp_path.iterdir())
