"""Descriptions of networks, compared with table 1 of the paper."""

from __future__ import annotations

import pytest

from compress.errors import ConfigError
from compress.networks.description import describe_model, describe_network
from compress.networks.preprocessing_options import PreprocessingOptions
from compress.weights.user_network import UserNetwork


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


@pytest.mark.parametrize(
    ("call", "row"),
    [
        ("recurrent_network", ("recurrent", "lstm", (32, 16), 3_200)),
        ("vision_transformer", ("encoder.layers.0.self_attn", "multiheadattention", (16, 16), 816)),
    ],
)
def test_a_layer_that_returns_several_tensors_is_described_by_the_first(call, row):
    gray = PreprocessingOptions(height=32, width=32, mean=(0.3,), std=(0.2,), channels="L", resize="squash")
    args = {"kind": "LSTM"} if call == "recurrent_network" else {}
    model = UserNetwork(factory=f"user_networks:{call}", args=args, preprocessing=gray).load()
    layers = describe_model(model)
    assert row in [(layer.name, layer.kind, layer.output, layer.parameters) for layer in layers]


def test_a_layer_in_torchscript_is_left_out():
    gray = PreprocessingOptions(height=32, width=32, mean=(0.3,), std=(0.2,), channels="L", resize="squash")
    source = UserNetwork(factory="user_networks:small_network", args={"change": "TorchScript"}, preprocessing=gray)
    assert [layer.name for layer in describe_model(source.load())] == ["second", "head"]


def test_an_unknown_network_is_an_error_with_a_suggestion():
    with pytest.raises(ConfigError, match="did you mean 'squeezenet1_0'"):
        describe_network("squeezenet1_00", 1000, 227, 227)
