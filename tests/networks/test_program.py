"""Programs of operations for the runtime in C: what they say, and which networks have one."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

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


class Shortcut(nn.Module):
    def __init__(self, alias: nn.Module) -> None:
        super().__init__()
        self.alias = alias

    def forward(self, x):
        return self.alias(x).relu() + x


@pytest.mark.parametrize("alias", [nn.Dropout(), nn.Identity()])
def test_an_activation_of_a_value_that_another_operation_reads_by_another_name_is_an_operation_of_its_own(alias):
    assert program_of(CONV, Shortcut(alias), MEAN) == [4, *CONV_BYTES, 8, 1, 1, 5, 0, 1, 2, *MEAN_BYTES]


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
        (lambda a, b: torch.concat((b, a), -3), [7, 0, 2, 1, 2]),
        (lambda a, b: b * a.mean((2, 3), keepdim=True), [4, 0, 2, 6, 0, 2, 1]),
        (lambda a, b: b * functional.adaptive_avg_pool2d(a, 1), [4, 0, 2, 6, 0, 2, 1]),
        (lambda a, b: b * a.mean((2, 3)).view(a.size(0), -1, 1, 1), [4, 0, 2, 6, 0, 2, 1]),
        (lambda a, b: a + torch.relu(a) * b, [8, 1, 2, 6, 0, 1, 2, 5, 0, 4, 1]),  # ReLU, product, sum
        (lambda a, b: torch.cat([a, b], 1).relu(), [7, 0, 2, 2, 1, 8, 1, 1]),
    ],
)
def test_results_of_several_readers(join, operations):
    assert list(network_program(Forked(join).eval(), SMALL))[1 + 24 : -3] == operations


WAYS = {
    "mean of a list": (lambda x: x.mean([2, 3]), MEAN_BYTES),
    "mean of the last dimensions": (lambda x: torch.mean(x, dim=(-1, -2)), MEAN_BYTES),
    "mean, squeezed": (lambda x: x.mean((2, 3), keepdim=True).squeeze(-1).squeeze(-1), MEAN_BYTES),
    "adaptive pool": (lambda x: functional.adaptive_avg_pool2d(x, (1, 1)).view(x.size(0), -1), MEAN_BYTES),
    "max pool": (lambda x: functional.max_pool2d(x, 2).mean((2, 3)), [2, 0, 1, 2, 2, 2, 2, 0, 0, 0, *MEAN_BYTES]),
    "max pool with options": (
        lambda x: functional.max_pool2d(x, (3, 2), stride=1, padding=1, ceil_mode=True).mean((2, 3)),
        [2, 0, 1, 3, 2, 1, 1, 1, 1, 1, *MEAN_BYTES],
    ),
    "dropout": (lambda x: functional.dropout(x, training=False).mean((2, 3)), MEAN_BYTES),
    "average pool": (
        lambda x: functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False).mean((2, 3)),
        [3, 0, 1, 3, 3, 1, 1, 1, 1, 0, *MEAN_BYTES],
    ),
}


@pytest.mark.parametrize(("function", "operations"), WAYS.values(), ids=WAYS)
def test_functions_that_compute_a_layer(function, operations):
    assert program_of(CONV, Calls(function)) == [len(operations) // 10 + 2, *CONV_BYTES, *operations]


@pytest.mark.parametrize(
    "flatten",
    [
        lambda x: x.view(x.size(0), -1), lambda x: x.reshape(x.shape[0], -1), lambda x: x.view(-1, 18 * 16 * 4),
        lambda x: torch.flatten(x, start_dim=1), lambda x: torch.reshape(x, (x.size()[0], 18 * 16 * 4)),
    ],
)  # fmt: skip
def test_a_vector_of_a_map_however_it_is_written(flatten):
    head = nn.Linear(18 * 16 * 4, 5)
    assert program_of(CONV, Calls(flatten), head) == [2, *CONV_BYTES, 1, 0, 1, 2, 4]


def relu_in_place(x: torch.Tensor) -> torch.Tensor:
    return torch.cat([x, x.relu_()], 1)


class Changed(nn.Module):
    """Reads a value again after a change in place of the same memory, which the alias returns."""

    def __init__(self, alias: nn.Module) -> None:
        super().__init__()
        self.alias, self.relu, self.mean = alias, nn.ReLU(inplace=True), MEAN

    def forward(self, x):
        other, before = self.alias(x), self.mean(x)
        self.relu(other)
        return self.mean(x) * before


class ByKeyword(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(2)

    def forward(self, x):
        return self.pool(input=x)


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
    "a number of the shape": (CONV, Calls(lambda x: x * x.size(1)), MEAN),
    "a window of the shape": (CONV, Calls(lambda x: functional.avg_pool2d(x, x.size(2))), nn.Flatten()),
    "dropout that is always on": (CONV, Calls(functional.dropout), MEAN),
    "a mean over channels": (CONV, Calls(lambda x: x.mean(1, keepdim=True)), MEAN),
    "a mean over one axis": (CONV, Calls(lambda x: x.mean(3)), nn.Flatten()),
    "a view that mixes channels": (CONV, Calls(lambda x: x.view(1, 8, 9, 16)), MEAN),
    "a concatenation of rows": (CONV, Calls(lambda x: torch.cat([x, x], 2)), MEAN),
    "a value that is changed in place": (CONV, Calls(relu_in_place), MEAN),
    "a value that a function changes in place": (CONV, Calls(lambda x: functional.relu(x, True) + x), MEAN),
    "a value that is changed behind a dropout": (CONV, Changed(nn.Dropout())),
    "a value that is changed behind an identity": (CONV, Changed(nn.Identity())),
    "a flat value that is changed": (CONV, Changed(nn.Flatten())),
    "a layer that is called by keyword": (CONV, ByKeyword(), MEAN),
    "a flattened part": (CONV, Calls(lambda x: torch.flatten(x, 1, end_dim=2)), Calls(lambda x: x.mean((1, 2)))),
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
