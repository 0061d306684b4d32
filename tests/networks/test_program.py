"""Programs of operations for the runtime in C: what they say, and which networks have one."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from compress.model import TORCHVISION, Preprocessing
from compress.networks.compared_output import OutputOptions
from compress.networks.modules import NETWORKS, builtin_network
from compress.networks.program import network_program
from compress.weights.user_network import UserNetwork

SMALL = Preprocessing(20, 18, "squash", "RGB", 1.0, (0.0,), (1.0,))
CONV = nn.Conv2d(3, 4, 3)
"""Kind 0, activation 0, distance 1, tensors 0 and 1, one group, strides, padding, dilation."""

CONV_BYTES = [0, 0, 1, 0, 2, 1, 1, 1, 0, 0, 1, 1]
MEAN = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
MEAN_BYTES = [4, 0, 1]


def program_of(*layers: nn.Module) -> list[int]:
    return list(network_program(nn.Sequential(*layers).eval(), SMALL))


@pytest.mark.parametrize("architecture", NETWORKS)
def test_the_programs_of_built_in_networks_are_in_the_c_source(architecture):
    source = (Path(__file__).parents[2] / "runtime" / "c" / "sqz_squeezenet.h").read_text("utf-8")
    (numbers,) = re.findall(rf"{architecture.upper()}\[\] = {{(.*?)}}", source, re.DOTALL)
    expected = bytes(int(number) for number in numbers.split(","))
    assert network_program(builtin_network(architecture, 10), TORCHVISION) == expected
    assert network_program(builtin_network(architecture, 7), replace(SMALL, height=64, width=90)) == expected


def test_the_example_of_the_format():
    network = (nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5, bias=False))
    assert program_of(*network) == [3, 0, 1, 1, 0, 2, 1, 2, 2, 0, 0, 1, 1, 4, 0, 1, 1, 0, 1, 2, 0]


@pytest.mark.parametrize(
    ("layer", "operation"),
    [
        (nn.MaxPool2d((3, 2), 2, (1, 0), ceil_mode=True), [2, 0, 1, 3, 2, 2, 2, 1, 0, 1]),
        (nn.AvgPool2d(3, 1, 1, count_include_pad=False), [3, 0, 1, 3, 3, 1, 1, 1, 1, 0]),
        (nn.Conv2d(4, 8, (1, 3), (1, 2), (0, 1), (1, 2), 2, bias=False), [0, 0, 1, 2, 0, 2, 1, 2, 0, 1, 1, 2]),
        (nn.Dropout(), []),
        (nn.Identity(), []),
    ],
)
def test_each_layer(layer, operation):
    assert program_of(CONV, layer, MEAN) == [2 + bool(operation), *CONV_BYTES, *operation, *MEAN_BYTES]


@pytest.mark.parametrize(
    ("activation", "identifier"),
    [(nn.ReLU(), 1), (nn.ReLU6(), 2), (nn.Hardswish(), 3), (nn.Hardsigmoid(), 4), (nn.Sigmoid(), 5), (nn.SiLU(), 6)],
)
def test_an_activation_belongs_to_the_operation_before_it(activation, identifier):
    assert program_of(CONV, activation, MEAN)[2] == identifier
    assert program_of(activation, CONV, MEAN)[1:4] == [8, identifier, 1]  # of the input, which no operation makes


class Forked(nn.Module):
    def __init__(self, join) -> None:
        super().__init__()
        self.first, self.second, self.mean, self.join = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1), MEAN, join

    def forward(self, x):
        return self.mean(self.join(self.first(x), self.second(x)))


@pytest.mark.parametrize(
    ("join", "operations"),
    [
        (lambda a, b: a + b, [5, 0, 2, 1]),
        (lambda a, b: b * a, [6, 0, 1, 2]),
        (lambda a, b: torch.cat([b, a], 1), [7, 0, 2, 1, 2]),
        (lambda a, b: torch.cat((a, b, a), dim=1), [7, 0, 3, 2, 1, 2]),
        (lambda a, b: b * a.mean((2, 3), keepdim=True), None),
        (lambda a, b: a + torch.relu(a) * b, [8, 1, 2, 6, 0, 1, 2, 5, 0, 4, 1]),  # ReLU, product, sum
        (lambda a, b: torch.cat([a, b], 1).relu(), [7, 0, 2, 2, 1, 8, 1, 1]),
    ],
)
def test_results_of_several_readers(join, operations):
    program = list(network_program(Forked(join).eval(), SMALL))
    assert program[1 + 24 : -3] == operations if operations else program == []


def relu_in_place(x: torch.Tensor) -> torch.Tensor:
    return torch.cat([x, x.relu_()], 1)


class Calls(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


UNSUPPORTED = {
    "an unknown activation": (CONV, nn.Tanh(), MEAN),
    "an unknown layer": (CONV, nn.BatchNorm2d(4), MEAN),
    "reflections as padding": (nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), MEAN),
    "padding by name": (nn.Conv2d(3, 4, 3, padding="same"), MEAN),
    "a broadcast sum": (CONV, Calls(lambda x: x + x.mean((2, 3), keepdim=True)), MEAN),
    "a number": (CONV, Calls(lambda x: x * 2), MEAN),
    "a value that is changed in place": (CONV, Calls(relu_in_place), MEAN),
    "a concatenation of flat maps": (CONV, nn.Flatten(), Calls(lambda x: torch.cat([x, x], 1)), nn.Linear(2304, 5)),
    "flat maps as logits": (CONV, nn.Flatten()),
    "no operation": (nn.Flatten(),),
    "control flow": (Calls(lambda x: x if x.sum() > 0 else -x), CONV, MEAN),
}


@pytest.mark.parametrize("layers", UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_other_networks_have_no_program(layers):
    assert program_of(*layers) == []


@pytest.mark.parametrize("function", ["resnet18", "mobilenet", "squeeze_excitation"])
def test_a_network_of_the_user_has_a_program_once_its_norms_are_folded(function):
    folded = UserNetwork(factory=f"user_networks:{function}", fold_batch_norm=True, input_size=16)
    assert folded.load().program
    assert replace(folded, fold_batch_norm=False).load().program == b""


def test_a_network_that_cannot_be_traced_has_no_program():
    assert UserNetwork(factory="user_networks:mixed_layers", input_size=16).load().program == b""


def test_only_logits_of_photos_have_a_program():
    heads = UserNetwork(factory="output_networks:two_heads", input_size=32, outputs=OutputOptions(1, "values"))
    assert heads.load().program == b""
    assert replace(heads, outputs=1).load().program
