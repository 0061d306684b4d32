"""Models from files: those of `decompress` describe their network, those of other programs do not."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
import torch
from safetensors.numpy import load_file, save_file
from small_models import shared_squeezenet
from user_networks import gray_convolution, resnet18, three_convolutions

from compress import container
from compress.errors import ConfigError, FormatError, WeightsError
from compress.evaluation.compare import compare_models
from compress.export import write_weights
from compress.model import CAFFE, TORCHVISION
from compress.networks.description_text import METADATA_KEY
from compress.networks.modules import to_module
from compress.networks.preprocessing_options import PreprocessingOptions
from compress.weights.model_files import load_model, load_named_model
from compress.weights.user_network import UserNetwork

FACTORY = "user_networks:mixed_layers"
LABELS = ("owl", "emu", "kea", "kiwi", "moa", "auk")
OWN = PreprocessingOptions(height=18, width=16, mean=(0.3,) * 3, std=(0.2,) * 3, resize="squash")


@pytest.fixture(scope="module")
def model():
    """A network with arguments, preprocessing and class names of its own."""
    network = UserNetwork(factory=FACTORY, args={"classes": 6}, preprocessing=OWN)
    return replace(network.load(), labels=LABELS)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_decompressed_weights_of_a_users_network_are_the_same_model(model, suffix, tmp_path):
    path = tmp_path / f"model{suffix}"
    write_weights(model, path)
    assert not load_model(path).trusted
    loaded = load_model(path, factory=FACTORY)
    assert (loaded, loaded.trusted) == (replace(model, tensors=loaded.tensors), True)
    assert container.weights_sha256(loaded) == container.weights_sha256(model)
    to_module(loaded)
    problem = f"model{suffix}: --factory: the file's network is made by '{FACTORY}', not by 'user_networks:resnet18'"
    with pytest.raises(ConfigError, match=problem):
        load_model(path, factory="user_networks:resnet18")


def test_a_checkpoint_of_another_network_asks_for_its_function(tmp_path):
    torch.save(gray_convolution().state_dict(), tmp_path / "own.pth")
    with pytest.raises(
        WeightsError, match=r"own\.pth: these are not .* of your own, add --factory package\.module:fun"
    ):
        load_model(tmp_path / "own.pth")


@pytest.mark.parametrize("name", ["MODEL.SQZ", "MODEL.PTH", "MODEL.SafeTensors"])
def test_file_names_may_be_in_capitals(model, name, tmp_path):
    write = container.write if name.endswith("SQZ") else (lambda path, each: write_weights(each, path))
    write(tmp_path / name.lower(), model)
    (tmp_path / name.lower()).rename(tmp_path / name)
    assert container.weights_sha256(load_model(tmp_path / name, factory=FACTORY)) == container.weights_sha256(model)


def test_decompressed_weights_of_a_squeezenet_keep_its_preprocessing(tmp_path):
    model = replace(shared_squeezenet(), preprocessing=CAFFE)
    write_weights(model, tmp_path / "model.safetensors")
    assert load_model(tmp_path / "model.safetensors").preprocessing == CAFFE
    with pytest.raises(ConfigError, match="holds squeezenet1_1, not squeezenet1_0"):
        load_model(tmp_path / "model.safetensors", architecture="squeezenet1_0")


def test_an_architecture_that_a_model_does_not_have_is_an_error(tmp_path):
    container.write(tmp_path / "model.sqz", shared_squeezenet())
    for name in ("embedded", str(tmp_path / "model.sqz")):
        assert load_named_model(name, "squeezenet1_1").architecture == "squeezenet1_1"
        with pytest.raises(ConfigError, match=r"--architecture: .* holds squeezenet1_1, not squeezenet1_0"):
            load_named_model(name, "squeezenet1_0")


@pytest.mark.parametrize("text", ["not base64", "AAAA"])
def test_a_damaged_description_is_an_error(model, tmp_path, text):
    write_weights(model, tmp_path / "w.safetensors")
    save_file(load_file(tmp_path / "w.safetensors"), tmp_path / "w.safetensors", {METADATA_KEY: text})
    with pytest.raises(FormatError, match=r"w\.safetensors"):
        load_model(tmp_path / "w.safetensors", factory=FACTORY)


def test_a_checkpoint_of_another_program_takes_what_it_lacks_from_a_model_of_the_same_function(model, tmp_path):
    torch.save({"model_state_dict": to_module(model).state_dict()}, tmp_path / "trained.pth")
    loaded = load_model(tmp_path / "trained.pth", factory=FACTORY, like=model)
    assert loaded == replace(model, tensors=loaded.tensors)
    assert container.weights_sha256(loaded) == container.weights_sha256(model)
    with pytest.raises(WeightsError, match=r"head\.weight is \(6, 8\), not \(5, 8\)"):  # without the arguments
        load_model(tmp_path / "trained.pth", factory=FACTORY)


def test_without_such_a_model_the_preprocessing_is_torchvisions_and_must_fit(tmp_path, caplog):
    caplog.set_level(logging.INFO, "compress")
    torch.save(resnet18(width=2).state_dict(), tmp_path / "trained.pth")
    with pytest.raises(WeightsError, match="not the weights of the network of user_networks:resnet18"):
        load_model(tmp_path / "trained.pth", factory="user_networks:resnet18")
    torch.save(three_convolutions().state_dict(), tmp_path / "trained.pth")
    loaded = load_model(tmp_path / "trained.pth", factory="user_networks:three_convolutions", like=shared_squeezenet())
    assert (loaded.preprocessing, loaded.labels) == (TORCHVISION, ())
    assert [record.getMessage().partition("trained.pth ")[2] for record in caplog.records] == [
        "has no preprocessing: photos are resized and cropped to 224 x 224, as torchvision does; for other photos, run "
        "a pipeline without stages, and use its .sqz file"
    ]
    torch.save(gray_convolution().state_dict(), tmp_path / "gray.pth")
    with pytest.raises(
        ConfigError, match=r"photos of 224 x 224 pixels in RGB.*a checkpoint has no preprocessing of its own"
    ):
        load_model(tmp_path / "gray.pth", factory="user_networks:gray_convolution")


def test_what_of_a_checkpoint_is_not_read_is_said(model, tmp_path, caplog):
    caplog.set_level(logging.INFO, "compress")
    state = to_module(model).state_dict()
    torch.save({**state, "ema": {name: 2 * tensor for name, tensor in state.items()}}, tmp_path / "trained.pth")
    loaded = load_model(tmp_path / "trained.pth", factory=FACTORY, like=model)
    assert container.weights_sha256(loaded) == container.weights_sha256(model)
    (record,) = caplog.records
    assert record.getMessage().endswith("trained.pth: not those under ema, which also fit (checkpoint_key)")


def test_the_checkpoint_and_the_file_made_from_it_are_compared_with_the_same_preprocessing(model, tmp_path):
    torch.save(to_module(model).state_dict(), tmp_path / "trained.pth")
    container.write(tmp_path / "model.sqz", model)
    names = [str(tmp_path / name) for name in ("trained.pth", "model.sqz")]
    comparison = compare_models(*names, "samples", limit=3, factory=FACTORY)
    assert comparison.same_weights
    assert comparison.same_preprocessing
    assert comparison.divergence_nats.value == 0
