"""Random weights for training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from compress.container.file import weights_sha256
from compress.data.imagenet import imagenet_names
from compress.errors import ConfigError
from compress.model import CAFFE, TORCHVISION
from compress.networks.modules import builtin_network
from compress.weights.squeezenet_weights import RandomWeights


def test_the_weights_depend_on_the_seed_only():
    source = RandomWeights("squeezenet1_1", 10)
    torch.manual_seed(1)
    first = weights_sha256(source.load(5))
    torch.manual_seed(2)
    assert weights_sha256(source.load(5)) == first != weights_sha256(source.load(6))


@pytest.mark.parametrize("architecture", ["squeezenet1_0", "squeezenet1_1"])
def test_weights_are_distributed_as_in_torchvision_and_the_classifier_bias_is_one(architecture):
    model = RandomWeights(architecture, 200).load()
    assert list(model.tensors) == [name for name, _ in builtin_network(architecture, 200).named_parameters()]
    for name, tensor in model.tensors.items():
        values = tensor.to_dense()
        if name == "classifier.1.weight":
            assert values.std() == pytest.approx(0.01, rel=0.02)
        elif name.endswith("weight"):
            bound = np.sqrt(6 / values[0].size)
            assert 0.95 * bound < np.abs(values).max() <= bound
            assert values.std() == pytest.approx(bound / np.sqrt(3), rel=0.1)
        else:
            assert (values == (1 if name == "classifier.1.bias" else 0)).all()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, TORCHVISION),
        ({"preprocessing": "caffe"}, CAFFE),
        ({"input_size": 112}, replace(TORCHVISION, height=112, width=112, short_side=128)),
        (
            {"input_size": 32, "resize": "squash"},
            replace(TORCHVISION, height=32, width=32, resize="squash", short_side=0),
        ),
        ({"preprocessing": "caffe", "input_size": 64}, replace(CAFFE, height=64, width=64)),
    ],
    ids=str,
)
def test_preprocessing_follows_the_options(options, expected):
    assert RandomWeights("squeezenet1_1", 10, **options).load().preprocessing == expected


def test_labels_default_to_imagenets_for_1000_classes():
    assert RandomWeights("squeezenet1_1", 2, labels=("cat", "dog")).load().labels == ("cat", "dog")
    assert RandomWeights("squeezenet1_1", 10).load().labels == ()
    assert RandomWeights("squeezenet1_1", 1000).load().labels == imagenet_names()


def test_an_input_too_small_for_the_network_is_an_error():
    with pytest.raises(ConfigError, match="squeezenet1_0 does not accept photos of 16 x 16") as caught:
        RandomWeights("squeezenet1_0", 10, input_size=16).load()
    assert caught.value.key == "model.input_size"


@pytest.mark.parametrize(
    "options",
    [{"classes": 0}, {"input_size": 8}, {"labels": ("cat",)}, {"architecture": "alexnet"}, {"path": "x"}],
    ids=str,
)
def test_invalid_options_are_errors(options):
    with pytest.raises(ValidationError):
        RandomWeights(**{"architecture": "squeezenet1_1", "classes": 10, **options})
