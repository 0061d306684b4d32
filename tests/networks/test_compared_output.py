"""What is compared of a network's outputs."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from output_networks import Heads

from compress.errors import ConfigError
from compress.networks.compared_output import LOGITS, ComparedOutput, OutputOptions, compared_tensor, probe_output
from compress.networks.factory import NetworkFactory, output_of
from compress.weights.user_network import UserNetwork


@dataclass
class Result:
    logits: torch.Tensor
    loss: None = None


def numbered(*shape):
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float32).reshape(shape)


OUT = numbered(1, 3)


@pytest.mark.parametrize(
    ("outputs", "tensor"),
    [
        (OUT, None),
        ((None, OUT), 1),
        ([OUT], "0"),
        ({"out": OUT, "aux": None}, "out"),
        ({"heads": [{"a.b": OUT}]}, "heads.0.a.b"),
        ({7: OUT}, 7),
        (Heads(OUT, OUT + 1), "logits"),
        (Result(OUT), "logits"),
    ],
)
def test_a_tensor_is_named_by_its_index_key_or_path(outputs, tensor):
    found, compared = probe_output(outputs, OutputOptions(tensor))
    assert compared is OUT
    assert found == ComparedOutput(tensor)


@pytest.mark.parametrize(
    ("shape", "axis", "expected"),
    [
        ((1, 4, 2, 3), 1, (1, 4, 6)),
        ((1, 7, 4), -1, (1, 4, 7)),
        ((1, 4, 1, 1), 1, (1, 4)),
        ((1, 2, 64, 64), 1, (1, 2, 1024)),
        ((1, 4096, 16, 16), 1, (1, 4096, 64)),
    ],
)
def test_channels_come_second_and_some_positions_last(shape, axis, expected):
    tensor = numbered(*shape)
    found, compared = probe_output(tensor, OutputOptions(axis=axis))
    assert compared.shape == expected
    assert (1, *found.shape(expected[1])) == expected
    channels = tensor.movedim(axis, 1).flatten(2)
    assert torch.equal(compared.flatten(2 if compared.dim() > 2 else 1)[0, 0, ...].max(), channels[0, 0].max())
    assert torch.equal(compared_tensor(tensor, found), compared)


@pytest.mark.parametrize(
    ("outputs", "options", "message"),
    [
        (
            {"out": OUT, "aux": numbered(1, 2, 4, 4)},
            OutputOptions(),
            r"a dict; .*out \(1, 3\), aux \(1, 2, 4, 4\).*outputs:",
        ),
        ({"out": OUT}, OutputOptions("output"), r"a dict without 'output'; .*out \(1, 3\)"),
        ((OUT.long(), OUT), OutputOptions(0), r"output 0 of the network is a tensor \(1, 3\) of torch.int64"),
        ({"a": numbered(4, 4)}, OutputOptions("a"), r"a tensor \(4, 4\) .*expected .*\(photos, channels"),
        ({"a": numbered(1, 3, 0, 4)}, OutputOptions("a"), r"a tensor \(1, 3, 0, 4\)"),
        ({"a": "text"}, OutputOptions("a"), "output a of the network is a str"),
        (OUT, OutputOptions(axis=2), r"axis 2 is none of the channels of its output, shape \(1, 3\)"),
        (OUT, OutputOptions(axis=-2), "axis -2 is none"),
        (numbered(1, 1, 4, 4), OutputOptions(), "has 1 class along axis 1.*kind: values"),
    ],
)
def test_another_tensor_is_an_error_that_lists_all_with_their_shapes(outputs, options, message):
    with pytest.raises(ConfigError, match=message) as caught:
        probe_output(outputs, options)
    assert caught.value.key == "model.outputs"


def test_the_architecture_says_what_is_compared():
    output = ComparedOutput("features.p1", "values", positions=256)
    factory = NetworkFactory("a:b", outputs=output)
    assert factory.architecture == 'a:b {"outputs":{"kind":"values","positions":256,"tensor":"features.p1"}}'
    assert NetworkFactory.parse(factory.architecture) == factory


@pytest.mark.parametrize(
    ("outputs", "classes", "found", "left"),
    [
        (1, 4, ComparedOutput(1), {"logits.weight", "logits.bias"}),
        (OutputOptions(0, "values"), 10, ComparedOutput(0, "values"), {"box.weight", "box.bias"}),
    ],
)
def test_weights_of_other_outputs_are_left_as_they_are(outputs, classes, found, left):
    model = UserNetwork(factory="output_networks:two_heads", input_size=32, outputs=outputs).load()
    assert (model.classes, output_of(model), model.uncompressed) == (classes, found, left)


def test_a_network_of_one_tensor_of_logits_is_described_as_before():
    model = UserNetwork(factory="user_networks:three_convolutions", input_size=32).load()
    assert model.architecture == "user_networks:three_convolutions"
    assert output_of(model) == LOGITS
    named = UserNetwork(factory="user_networks:three_convolutions", input_size=32, outputs=OutputOptions()).load()
    assert named.architecture == model.architecture


@pytest.mark.parametrize("factory", ["segmentation", "two_heads", "backbone", "regression"])
def test_other_outputs_need_the_option(factory):
    with pytest.raises(ConfigError, match=r"for one photo.*`?outputs: {"):
        UserNetwork(factory=f"output_networks:{factory}", input_size=32).load()
