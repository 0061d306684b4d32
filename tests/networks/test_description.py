"""Descriptions of networks, compared with table 1 of the paper."""

from __future__ import annotations

import pytest

from compress.errors import ConfigError
from compress.networks.description import describe_network


def test_v1_0_at_227_pixels_is_table_1_of_the_paper():
    layers = describe_network("squeezenet1_0", 1000, 227, 227)
    shown = [
        (layer.kind, layer.output)
        for layer in layers
        if layer.kind.startswith(("fire", "max", "mean")) or layer.name in {"features.0", "classifier.1"}
    ]
    assert shown == [
        ("conv 7x7/2", (111, 111, 96)),
        ("max pool 3x3/2", (55, 55, 96)),
        ("fire", (55, 55, 128)),
        ("fire", (55, 55, 128)),
        ("fire", (55, 55, 256)),
        ("max pool 3x3/2", (27, 27, 256)),
        ("fire", (27, 27, 256)),
        ("fire", (27, 27, 384)),
        ("fire", (27, 27, 384)),
        ("fire", (27, 27, 512)),
        ("max pool 3x3/2", (13, 13, 512)),
        ("fire", (13, 13, 512)),
        ("conv 1x1", (13, 13, 1000)),
        ("mean over the image", (1, 1, 1000)),
    ]
    assert sum(layer.parameters for layer in layers) == 1_248_424


def test_parameters_and_multiplications_are_counted_once():
    layers = {layer.name: layer for layer in describe_network("squeezenet1_1", 1000, 227, 227)}
    assert sum(layer.parameters for layer in layers.values()) == 1_235_496
    assert (layers["features.0"].parameters, layers["features.0"].multiply_accumulates) == (1_792, 113 * 113 * 27 * 64)
    assert (layers["features.3"].parameters, layers["features.3"].multiply_accumulates) == (0, 0)
    assert layers["features.3.expand3x3"].output == (56, 56, 64)


@pytest.mark.parametrize("side", [32, 33, 224, 500])
def test_photos_of_32_pixels_and_more_are_accepted(side):
    for name in ("squeezenet1_0", "squeezenet1_1"):
        assert describe_network(name, 7, side, side)[-1].output == (1, 1, 7)


def test_an_unknown_network_is_an_error_with_a_suggestion():
    with pytest.raises(ConfigError, match="did you mean 'squeezenet1_0'"):
        describe_network("squeezenet1_00", 1000, 227, 227)
