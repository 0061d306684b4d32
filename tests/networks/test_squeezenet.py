from __future__ import annotations

import pytest
import torch

from compress.networks.modules import builtin_network

FIRES = {"squeezenet1_0": (3, 4, 5, 7, 8, 9, 10, 12), "squeezenet1_1": (3, 4, 6, 7, 9, 10, 11, 12)}
"""Indices of the Fire modules in torchvision's `features`."""


def layer_shapes(network, side):
    """Return each layer's output (height, width, channels) for a photo, and the logits."""
    shapes = []

    def record(module, inputs, output):
        _, channels, height, width = output.shape
        shapes.append((height, width, channels))

    for module in [*network.features, *network.classifier]:
        module.register_forward_hook(record)
    logits = network.to("meta")(torch.zeros(1, 3, side, side, device="meta"))
    return shapes, logits


@pytest.mark.parametrize(("name", "parameters"), [("squeezenet1_0", 1_248_424), ("squeezenet1_1", 1_235_496)])
def test_the_parameter_count_is_the_published_one(name, parameters):
    assert sum(parameter.numel() for parameter in builtin_network(name, 1000).parameters()) == parameters


@pytest.mark.parametrize("name", FIRES)
def test_tensors_have_torchvisions_names_and_order(name):
    layers = ["features.0"]
    layers += [f"features.{i}.{part}" for i in FIRES[name] for part in ("squeeze", "expand1x1", "expand3x3")]
    layers += ["classifier.1"]
    expected = [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]
    assert [key for key, _ in builtin_network(name, 1000).named_parameters()] == expected
    assert list(builtin_network(name, 1000).state_dict()) == expected


def test_at_227_pixels_v1_0_has_the_shapes_of_table_1_of_the_paper():
    shapes, logits = layer_shapes(builtin_network("squeezenet1_0", 1000), 227)
    without_activations = [shape for i, shape in enumerate(shapes) if i != 1]
    assert without_activations[:-3] == [
        (111, 111, 96),  # conv1
        (55, 55, 96),  # pool1
        (55, 55, 128),  # fire2
        (55, 55, 128),
        (55, 55, 256),
        (27, 27, 256),  # pool4
        (27, 27, 256),
        (27, 27, 384),
        (27, 27, 384),
        (27, 27, 512),
        (13, 13, 512),  # pool8
        (13, 13, 512),  # fire9
    ]
    assert shapes[-1] == (13, 13, 1000)
    assert logits.shape == (1, 1000)


def test_at_224_pixels_v1_1_pools_after_conv1_fire3_and_fire5():
    shapes, logits = layer_shapes(builtin_network("squeezenet1_1", 1000), 224)
    assert [height for height, _, _ in shapes] == [111, 111, 55, 55, 55, 27, 27, 27, 13, 13, 13, 13, 13, 13, 13, 13]
    assert logits.shape == (1, 1000)


@pytest.mark.parametrize("name", FIRES)
@pytest.mark.parametrize("classes", [1, 2, 10, 1203])
def test_the_number_of_classes_changes_only_the_classifier(name, classes):
    shapes = {key: parameter.shape for key, parameter in builtin_network(name, classes).named_parameters()}
    thousand = {key: parameter.shape for key, parameter in builtin_network(name, 1000).named_parameters()}
    assert shapes["classifier.1.weight"] == (classes, 512, 1, 1)
    assert {key for key in shapes if shapes[key] != thousand[key]} == {"classifier.1.weight", "classifier.1.bias"}
    photos = torch.zeros(2, 3, 64, 64, device="meta")
    assert builtin_network(name, classes).to("meta")(photos).shape == (2, classes)


def test_dropout_is_inactive_in_a_built_network():
    network = builtin_network("squeezenet1_1", 10)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    photos = torch.randn(2, 3, 64, 64)
    assert torch.equal(network(photos), network(photos))
