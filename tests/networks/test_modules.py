from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from compress.errors import ConfigError, WeightsError
from compress.networks.modules import as_dense, builtin_network, check_shapes, random_input, to_module
from compress.tensors.forms import Dense
from compress.weights.user_network import UserNetwork


def tensors_of(name, classes):
    return {
        key: Dense(parameter.detach().numpy()) for key, parameter in builtin_network(name, classes).named_parameters()
    }


def test_an_unknown_network_suggests_the_nearest_and_lists_all():
    with pytest.raises(ConfigError) as caught:
        builtin_network("squeezenet1.1", 1000)
    assert "did you mean 'squeezenet1_1'?" in str(caught.value)
    assert "squeezenet1_0" in str(caught.value)


@pytest.mark.parametrize("name", ["squeezenet1_0", "squeezenet1_1"])
def test_the_networks_own_tensors_pass(name):
    check_shapes(tensors_of(name, 10), builtin_network(name, 10), "wrong")


def test_missing_unexpected_and_misshapen_tensors_are_listed():
    tensors = tensors_of("squeezenet1_1", 10)
    del tensors["features.3.squeeze.bias"]
    tensors["fc.weight"] = Dense(np.zeros((5, 7), np.float32))
    tensors["features.0.weight"] = Dense(np.zeros((64, 3, 7, 7), np.float32))
    with pytest.raises(WeightsError) as caught:
        check_shapes(tensors, builtin_network("squeezenet1_1", 10), "wrong weights")
    message = str(caught.value)
    assert message.startswith("wrong weights: ")
    assert "missing features.3.squeeze.bias (16,)" in message
    assert "unexpected fc.weight (5, 7)" in message
    assert "features.0.weight is (64, 3, 7, 7), not (64, 3, 3, 3)" in message


def test_of_many_faults_the_first_are_listed_and_the_rest_counted():
    with pytest.raises(WeightsError, match=r"; and 44 more$"):
        check_shapes({}, builtin_network("squeezenet1_1", 10), "wrong")


def prune_weight(layer):
    prune.random_unstructured(layer, "weight", 0.5)


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`")
@pytest.mark.parametrize(
    "change", [prune_weight, nn.utils.weight_norm, nn.utils.parametrizations.weight_norm, nn.utils.spectral_norm]
)
def test_masks_and_norms_are_to_be_removed(change):
    network = nn.Sequential(nn.Linear(2, 3))
    expected = nn.Sequential(nn.Linear(2, 3))
    change(network[0])
    tensors = {name: as_dense(tensor) for name, tensor in network.state_dict().items()}
    with pytest.raises(WeightsError, match=r"missing 0\.weight .*Masks and norms of layers must be removed before"):
        check_shapes(tensors, expected, "wrong")


def test_a_module_has_the_models_dense_values(tiny):
    module = to_module(tiny)
    assert not module.training
    assert {name: p.detach().numpy().tobytes() for name, p in module.named_parameters()} == {
        name: tensor.to_dense().tobytes() for name, tensor in tiny.tensors.items()
    }


def test_changing_a_module_does_not_change_the_model(tiny):
    before = tiny.tensors["0.weight"].to_dense().copy()
    module = to_module(tiny)
    with torch.no_grad():
        module[0].weight.zero_()
    assert np.array_equal(tiny.tensors["0.weight"].to_dense(), before)


def test_a_network_that_reads_by_strides_gets_photos_in_the_default_format():
    model = UserNetwork(factory="user_networks:strided_network", input_size=32, resize="squash").load()
    photos = random_input(model.preprocessing, 3)
    on_device = to_module(model, torch.device("cpu"))
    with torch.inference_mode():
        torch.testing.assert_close(on_device(photos.to(memory_format=torch.channels_last)), to_module(model)(photos))


def test_a_model_with_other_tensors_than_its_network_is_an_error(tiny):
    with pytest.raises(WeightsError, match=r"missing 4\.bias"):
        to_module(replace(tiny, tensors={k: v for k, v in tiny.tensors.items() if k != "4.bias"}))
    with pytest.raises(WeightsError, match=r"4\.bias is \(7,\), not \(6,\)"):
        to_module(replace(tiny, tensors={**tiny.tensors, "4.bias": Dense(np.zeros(7, np.float32))}))
