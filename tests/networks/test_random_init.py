"""Weights at random: from the seed alone, spread as SqueezeNet's training begins."""

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
from compress.networks.modules import build
from compress.networks.random_init import Random


def test_the_seed_alone_decides_the_weights():
    source = Random("squeezenet1_1", 10)
    torch.manual_seed(1)
    first = weights_sha256(source.load(5))
    torch.manual_seed(2)
    assert weights_sha256(source.load(5)) == first != weights_sha256(source.load(6))


@pytest.mark.parametrize("architecture", ["squeezenet1_0", "squeezenet1_1"])
def test_they_are_spread_as_torchvision_spreads_them_and_no_class_begins_silent(architecture):
    model = Random(architecture, 200).load()
    assert list(model.tensors) == [name for name, _ in build(architecture, 200).named_parameters()]
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
    ("options", "wanted"),
    [
        ({}, TORCHVISION),
        ({"preprocessing": "caffe"}, CAFFE),
        ({"size": 112}, replace(TORCHVISION, height=112, width=112, short_side=128)),
        ({"size": 32, "resize": "squash"}, replace(TORCHVISION, height=32, width=32, resize="squash", short_side=0)),
        ({"preprocessing": "caffe", "size": 64}, replace(CAFFE, height=64, width=64)),
    ],
    ids=str,
)
def test_photos_become_its_input_as_the_options_say(options, wanted):
    assert Random("squeezenet1_1", 10, **options).load().preprocessing == wanted


def test_labels_are_given_by_name_and_those_of_imagenet_for_a_thousand_classes():
    assert Random("squeezenet1_1", 2, labels=("cat", "dog")).load().labels == ("cat", "dog")
    assert Random("squeezenet1_1", 10).load().labels == ()
    assert Random("squeezenet1_1", 1000).load().labels == imagenet_names()


def test_an_input_that_is_too_small_for_the_network_is_refused():
    with pytest.raises(ConfigError, match="squeezenet1_0 cannot take photos of 16 x 16") as caught:
        Random("squeezenet1_0", 10, size=16).load()
    assert caught.value.key == "model.size"


@pytest.mark.parametrize(
    "options", [{"classes": 0}, {"size": 8}, {"labels": ("cat",)}, {"architecture": "alexnet"}, {"path": "x"}], ids=str
)
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ValidationError):
        Random(**{"architecture": "squeezenet1_1", "classes": 10, **options})
