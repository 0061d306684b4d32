"""Programs of operations for the runtime in C: what they say, and which networks have one."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.ao.nn import qat
from torch.ao.quantization import FakeQuantize, MinMaxObserver, QConfig
from torch.nn import functional
from user_networks import small_network

from compress.model import TORCHVISION, Preprocessing
from compress.networks.compared_output import OutputOptions
from compress.networks.modules import NETWORKS, builtin_network
from compress.networks.program import NoProgramError, network_program, write_program
from compress.weights.user_network import UserNetwork

SMALL = Preprocessing(20, 18, "squash", "RGB", 1.0, (0.0,), (1.0,))
CONV = nn.Conv2d(3, 4, 3)
"""Kind 0, activation 0, distance 1, tensors 0 and 1, one group, strides, padding, dilation."""

CONV_BYTES = [0, 0, 1, 0, 2, 1, 1, 1, 0, 0, 1, 1]
MEAN = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
MEAN_BYTES = [4, 0, 1]
HALF = [0x80, 0x7E]
"""The upper 16 bits of 0.5 in float32, as a varint."""

ONE, MINUS_ONE, TWO, THREE, MINUS_THREE, FOUR = (
    [0x80, 0x7F], [0x80, 0xFF, 2], [0x80, 0x80, 1], [0xC0, 0x80, 1], [0xC0, 0x80, 3], [0x80, 0x81, 1],
)  # fmt: skip


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
        (nn.Conv2d(4, 4, 3, padding="same", bias=False), [0, 0, 1, 2, 0, 1, 1, 1, 1, 1, 1, 1]),
        (nn.Conv2d(4, 4, 3, padding="valid", bias=False), [0, 0, 1, 2, 0, 1, 1, 1, 0, 0, 1, 1]),
        (nn.BatchNorm2d(4, eps=0.5), [9, 0, 1, 1, 2, 0, *HALF]),
        (nn.BatchNorm2d(4, eps=0.5, affine=False), [9, 0, 1, 0, 2, 0, *HALF]),
        (nn.AdaptiveAvgPool2d((9, 4)), [3, 0, 1, 2, 4, 2, 4, 0, 0, 0]),
        (nn.AdaptiveMaxPool2d(1), [2, 0, 1, 18, 16, 18, 16, 0, 0, 0]),
        (nn.ChannelShuffle(2), [11, 0, 1, 0, 4, 2]),
        (nn.ZeroPad2d((1, 2, 3, 4)), [12, 0, 1, 3, 1, 4, 2, 0, 0]),
        (nn.AvgPool2d(2, ceil_mode=True), [3, 0, 1, 2, 2, 2, 2, 0, 0, 1]),
        (nn.AdaptiveAvgPool2d((18, None)), []),
        (nn.Dropout(), []),
        (nn.AlphaDropout(), []),
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
    [
        (nn.ReLU(), 1), (nn.ReLU6(), 2), (nn.Hardtanh(0, 6), 2), (nn.Hardswish(), 3), (nn.Hardsigmoid(), 4),
        (nn.Sigmoid(), 5), (nn.SiLU(), 6), (nn.Tanh(), 7), (nn.GELU(), 10), (nn.GELU("tanh"), 11), (nn.Mish(), 12),
    ],
)  # fmt: skip
def test_an_activation_belongs_to_the_operation_before_it(activation, identifier):
    assert program_of(CONV, activation, MEAN)[2] == identifier
    assert program_of(activation, CONV, MEAN)[1:4] == [8, identifier, 1]  # of the input, which no operation makes


def test_a_clamp_from_0_is_an_activation():
    assert program_of(CONV, Calls(lambda x: x.clamp(0, 6)), MEAN)[2] == 2
    assert program_of(CONV, Calls(lambda x: torch.clamp(x, min=0)), MEAN)[2] == 1


@pytest.mark.parametrize("call", [nn.LeakyReLU(0.5), lambda x: functional.leaky_relu(x, negative_slope=0.5)])
def test_a_slope_follows_its_activation(call):
    layer = call if isinstance(call, nn.Module) else Calls(call)
    assert program_of(CONV, layer, MEAN) == [2, 0, 8, 0, *HALF, *CONV_BYTES[2:], *MEAN_BYTES]


@pytest.mark.parametrize(
    ("shape", "is_stored", "value"),
    [
        ((1, 4, 1, 1), True, [13, 0, 2, 4]),
        ((4, 1, 1), True, [13, 0, 2, 4]),
        ((), True, [13, 0, 2, 4]),
        ((4, 1, 1), False, [14, 0, 4, 0, 0, *ONE, 0, *TWO, 0, *THREE, 0, *FOUR]),
        ((), False, [14, 0, 4, 1, 0, *ONE]),
    ],
)
def test_a_tensor_of_the_networks_own_is_a_value_and_its_numbers_are_in_the_program_if_no_file_stores_it(
    shape, is_stored, value
):
    own = Owner(shape, lambda x, own: x - own, is_stored)
    assert program_of(CONV, own, MEAN) == [4, *CONV_BYTES, *value, 15, 0, 2, 1, *MEAN_BYTES]


def test_a_tensor_that_is_moved_to_the_photos_device_is_that_tensor():
    expected = program_of(CONV, Owner((4, 1, 1), lambda x, own: x - own), MEAN)
    assert program_of(CONV, Owner((4,), lambda x, own: x - own.to(x.device).view(-1, 1, 1)), MEAN) == expected
    assert program_of(CONV, Owner((4,), lambda x, own: x - own.type_as(x)[:, None, None].to(x)), MEAN) == expected


def test_slopes_of_channels_are_a_value():
    assert program_of(CONV, nn.PReLU(4), MEAN) == [4, *CONV_BYTES, 13, 0, 2, 4, 17, 0, 2, 1, *MEAN_BYTES]
    by_function = Owner((4,), functional.prelu)
    assert program_of(CONV, by_function, MEAN) == program_of(CONV, nn.PReLU(4), MEAN)


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
        (lambda a, b: b * a.mean((2, 3))[:, :, None, None], [4, 0, 2, 6, 0, 2, 1]),
        (lambda a, b: b * a.mean((2, 3))[..., None, None], [4, 0, 2, 6, 0, 2, 1]),
        (lambda a, b: a + torch.relu(a) * b, [8, 1, 2, 6, 0, 1, 2, 5, 0, 4, 1]),  # ReLU, product, sum
        (lambda a, b: torch.cat([a, b], 1).relu(), [7, 0, 2, 2, 1, 8, 1, 1]),
        (lambda a, b: b + a.mean((2, 3), keepdim=True), [4, 0, 2, 5, 0, 2, 1]),
        (lambda a, b: a.mean((2, 3), keepdim=True) + b, [4, 0, 2, 5, 0, 2, 1]),
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
    "a window of the shape": (
        lambda x: functional.avg_pool2d(x, x.size()[2:]).flatten(1),
        [3, 0, 1, 18, 16, 18, 16, 0, 0, 1],
    ),
    "one mean after another": (
        lambda x: x.mean(3).mean(2),
        [3, 0, 1, 1, 16, 1, 16, 0, 0, 0, 3, 0, 1, 18, 1, 18, 1, 0, 0, 0],
    ),
    "a mean of merged positions": (
        lambda x: x.view(x.size(0), x.size(1), -1).mean(2),
        [3, 0, 1, 18, 16, 18, 16, 0, 0, 0],
    ),
    "a maximum of merged positions": (lambda x: x.flatten(2).amax(-1), [2, 0, 1, 18, 16, 18, 16, 0, 0, 0]),
    "a maximum": (lambda x: x.amax((2, 3)), [2, 0, 1, 18, 16, 18, 16, 0, 0, 0]),
    "global max pool": (
        lambda x: functional.adaptive_max_pool2d(x, 1).flatten(1),
        [2, 0, 1, 18, 16, 18, 16, 0, 0, 0],
    ),
    "every second pixel": (
        lambda x: x[:, :, ::2, ::2].mean((2, 3)),
        [2, 0, 1, 1, 1, 2, 2, 0, 0, 0, *MEAN_BYTES],
    ),
    "copies": (lambda x: x.clone().mean((2, 3)).contiguous().float().to(x.dtype).type_as(x).to(x.device), MEAN_BYTES),
    "log-softmax": (lambda x: functional.log_softmax(x.mean((2, 3)), 1), MEAN_BYTES),
    "dropout": (lambda x: functional.dropout(x, training=False).mean((2, 3)), MEAN_BYTES),
    "average pool": (
        lambda x: functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False).mean((2, 3)),
        [3, 0, 1, 3, 3, 1, 1, 1, 1, 0, *MEAN_BYTES],
    ),
}


@pytest.mark.parametrize(("function", "operations"), WAYS.values(), ids=WAYS)
def test_functions_that_compute_a_layer(function, operations):
    count = 1 + len(operations) // 10 + (operations[-3:] == MEAN_BYTES)
    assert program_of(CONV, Calls(function)) == [count, *CONV_BYTES, *operations]


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


def shuffled(x: torch.Tensor) -> torch.Tensor:
    """A channel shuffle, as in torchvision's ShuffleNet."""
    photos, channels, height, width = x.size()
    x = x.view(photos, 2, channels // 2, height, width)
    return torch.transpose(x, 1, 2).contiguous().view(photos, channels, height, width)


CHANNELS = {
    "a shuffle": (shuffled, [11, 0, 1, 0, 4, 2]),
    "a shuffle by permute and reshape": (
        lambda x: x.reshape(1, 4, 1, 18, 16).permute(0, 2, 1, 3, 4).reshape(x.shape), [11, 0, 1, 0, 4, 4],
    ),
    "the second half": (lambda x: x.chunk(2, 1)[1], [11, 0, 1, 2, 2, 1]),
    "a piece": (lambda x: torch.split(x, [1, 2, 1], dim=1)[-2], [11, 0, 1, 1, 2, 1]),
    "a channel": (lambda x: torch.unsqueeze(x[:, 2], 1), [11, 0, 1, 2, 1, 1]),
    "the last channel": (lambda x: x[:, -1, :, :].unsqueeze(1), [11, 0, 1, 3, 1, 1]),
    "a slice": (lambda x: x[:, 1:3], [11, 0, 1, 1, 2, 1]),
    "a slice of the shape": (lambda x: x[:, x.size(1) // 2 :, :, :], [11, 0, 1, 2, 2, 1]),
    "padding": (lambda x: functional.pad(x, (1, 2, 3, 4)), [12, 0, 1, 3, 1, 4, 2, 0, 0]),
    "padding of channels": (lambda x: functional.pad(x, (0, 0, 0, 0, 5, 6), value=0), [12, 0, 1, 0, 0, 0, 0, 5, 6]),
    "a sum with a number": (lambda x: 3 + x, [10, 0, 1, 0, *ONE, 0, *THREE]),
    "a difference": (lambda x: x - 3, [10, 0, 1, 0, *ONE, 0, *MINUS_THREE]),
    "a difference from a number": (lambda x: 3.0 - x, [10, 0, 1, 0, *MINUS_ONE, 0, *THREE]),
    "a product with a number": (lambda x: x * 0.5, [10, 0, 1, 0, *HALF, 0, 0]),
    "a quotient": (lambda x: x / 2, [10, 0, 1, 0, *HALF, 0, 0]),
    "a negative": (lambda x: -x, [10, 0, 1, 0, *MINUS_ONE, 0, 0]),
    "a square": (lambda x: x**2, [6, 0, 1, 1]),
    "a difference of maps": (lambda x: x - x, [15, 0, 1, 1]),
    "a quotient of maps": (lambda x: torch.div(x, x), [16, 0, 1, 1]),
    "an absolute value": (abs, [8, 8, 0, *MINUS_ONE, 1]),
    "a clamp": (lambda x: x.clamp(-3, 3), [8, 13, 0, *MINUS_THREE, 0, *THREE, 1]),
    "a clamp from below": (lambda x: x.clamp(min=0.5), [8, 13, 0, *HALF, 0xFF, 0xFF, 3, 0xFF, 0xFE, 1, 1]),
}  # fmt: skip


@pytest.mark.parametrize(("function", "operation"), CHANNELS.values(), ids=CHANNELS)
def test_operations_on_channels_and_with_numbers(function, operation):
    program = program_of(CONV, Calls(function), MEAN)
    if operation[0] == 8:  # an activation, of the operation before
        *activation, _ = operation[1:]
        assert program == [2, 0, *activation, *CONV_BYTES[2:], *MEAN_BYTES]
    else:
        assert program == [3, *CONV_BYTES, *operation, *MEAN_BYTES]


@pytest.mark.parametrize("kernel", [(2, 3), (3, 4), (4, 2)])
def test_padding_by_name_that_differs_by_side_is_an_operation_of_its_own(kernel):
    top, left = (side // 2 - (side % 2 == 0) for side in kernel)
    behind = [side - 1 - before for side, before in zip(kernel, (top, left), strict=True)]
    padding = [12, 0, 1, top, left, *behind, 0, 0]
    program = program_of(nn.Conv2d(3, 4, kernel, padding="same"), MEAN)
    assert program == [3, *padding, *CONV_BYTES, *MEAN_BYTES]


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


def hooked() -> nn.Module:
    layer = nn.Conv2d(3, 4, 3)
    layer.register_forward_hook(lambda _, __, output: 2 * output)
    return layer


class Calls(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def channel_twice(x: torch.Tensor) -> torch.Tensor:
    channel = x[:, 1]
    return channel.unsqueeze(1) + channel.relu_().mean((1, 2)).view(1, 1, 1, 1)


class Owner(nn.Module):
    """Has a tensor of its own."""

    def __init__(self, shape: tuple[int, ...], function, is_stored: bool = True) -> None:
        super().__init__()
        self.function, own = function, torch.arange(1.0, math.prod(shape) + 1).reshape(shape)
        if is_stored:
            self.own = nn.Parameter(own)
        else:
            self.register_buffer("own", own, persistent=False)

    def forward(self, x):
        return self.function(x, self.own)


class Derived(nn.Module):
    """Computes what it reads from its weights, where they change and in its forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("own", torch.ones(4))

    def train(self, mode=True):
        self.doubled = 2 * self.own
        return super().train(mode)

    def forward(self, x):
        return x * self.doubled.view(-1, 1, 1)


def shuffle_and_step(x: torch.Tensor) -> torch.Tensor:
    step = x.view(1, 2, 2, 18, 16)
    return step.transpose(1, 2).reshape(x.shape).mean((2, 3)) + step.mean((1, 3, 4))


class Doubled(nn.Sequential):
    """Changes its outputs where it is called, not in its forward pass."""

    def __call__(self, x):
        return 2 * super().__call__(x)


class Optional(nn.Sequential):
    """Has arguments after the photos, as many a network for training does."""

    def forward(self, x, scale=None, *others, flip=False):
        x = super().forward(x if scale is None else x * scale)
        return -x if flip or others else x


def with_rounded_weights():
    return qat.Conv2d(3, 4, 3, qconfig=QConfig(None, FakeQuantize.with_args(observer=MinMaxObserver)))


UNSUPPORTED = {
    "a layer of torch that rounds its weights": (with_rounded_weights(), MEAN),
    "an unknown activation": (CONV, nn.Softplus(), MEAN),
    "an unknown layer": (CONV, nn.GroupNorm(2, 4), MEAN),
    "a norm of the photo's own statistics": (CONV, nn.BatchNorm2d(4, track_running_stats=False), MEAN),
    "a norm of a flat map": (CONV, nn.Flatten(), nn.BatchNorm1d(1152), nn.Linear(1152, 5)),
    "reflections as padding": (nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), MEAN),
    "reflections around a map": (CONV, Calls(lambda x: functional.pad(x, (1, 1, 1, 1), "reflect")), MEAN),
    "padding with another number": (CONV, Calls(lambda x: functional.pad(x, (1, 1, 1, 1), value=1.0)), MEAN),
    "padding that cuts": (CONV, Calls(lambda x: functional.pad(x, (-1, 0, 0, 0))), MEAN),
    "a broadcast sum of rows": (CONV, Calls(lambda x: x + x.mean(3, keepdim=True)), MEAN),
    "a difference of rows": (CONV, Calls(lambda x: x - x.mean(2, keepdim=True)), MEAN),
    "a difference of a flat map": (CONV, nn.Flatten(), Calls(lambda x: x - x.relu()), nn.Linear(1152, 5)),
    "a number over a flat map": (CONV, nn.Flatten(), Calls(lambda x: 2 / x), nn.Linear(1152, 5)),
    "a quotient that is rounded": (CONV, Calls(lambda x: torch.div(x, x + 9, rounding_mode="floor")), MEAN),
    "a difference of a multiple": (CONV, Calls(lambda x: torch.sub(x, x.relu(), alpha=2)), MEAN),
    "a quotient by zero": (CONV, Calls(lambda x: x / 0), MEAN),
    "a third power": (CONV, Calls(lambda x: x**3), MEAN),
    "a clamp to another map": (CONV, Calls(lambda x: x.clamp(min=x.mean((2, 3), keepdim=True))), MEAN),
    "a clamp whose limits are swapped": (CONV, Calls(lambda x: x.clamp(2, 1)), MEAN),
    "slopes of a flat map": (CONV, nn.Flatten(), nn.PReLU(), nn.Linear(1152, 5)),
    "a flat map as one position": (
        CONV,
        nn.Flatten(),
        Calls(lambda x: x[:, :, None, None].mean((2, 3))),
        nn.Linear(1152, 5),
    ),
    "merged rows": (CONV, Calls(lambda x: x.view(1, 4, 9, 32).mean((2, 3))), nn.Linear(4, 5)),
    "merged positions that are read elsewhere": (CONV, Calls(lambda x: (y := x.flatten(2)).mean(2) + y.relu().amax(2))),
    "a sum over channels": (CONV, Calls(lambda x: x.sum(1, keepdim=True)), MEAN),
    "a number for each column": (CONV, Owner((16,), lambda x, own: x * own), MEAN),
    "a number for each pixel": (CONV, Owner((4, 18, 16), lambda x, own: x * own), MEAN),
    "a value in another type": (CONV, Calls(lambda x: x.to(torch.float16).float()), MEAN),
    "a larger tensor": (CONV, Owner((1, 4, 18, 16), lambda x, own: x.mean((2, 3), keepdim=True) * own), MEAN),
    "a tensor that is computed from weights": (CONV, Owner((4, 1, 1), lambda x, own: x * own.exp()), MEAN),
    "a tensor in another order": (CONV, Owner((4, 1, 1), lambda x, own: x * own.flip(0)), MEAN),
    "a tensor that is changed": (CONV, Owner((1, 4, 1, 1), lambda x, own: own.mul_(x.amax((2, 3), True)), False), MEAN),
    "a tensor in a concatenation": (CONV, Owner((1, 4, 18, 16), lambda x, own: torch.cat([x, own], 1)), MEAN),
    "a buffer that is computed from weights": (CONV, Derived(), MEAN),
    "an infinite number": (CONV, Calls(lambda x: x * 1e39), MEAN),
    "pools of uneven windows": (CONV, nn.AdaptiveAvgPool2d(5), MEAN),
    "rows in steps, and some channels": (CONV, Calls(lambda x: x[:, 1:, ::2]), MEAN),
    "windows beyond the map": (CONV, nn.AvgPool2d(3, ceil_mode=True), MEAN),
    "a window larger than the map": (CONV, nn.AdaptiveAvgPool2d(1), nn.MaxPool2d(2, ceil_mode=True), nn.Flatten()),
    "a part of the rows": (CONV, Calls(lambda x: x[:, :, 1:]), MEAN),
    "channels in steps": (CONV, Calls(lambda x: x[:, ::2]), MEAN),
    "a channel as rows": (CONV, Calls(lambda x: x[:, 2].unsqueeze(2)), MEAN),
    "a channel that is read elsewhere": (CONV, Calls(channel_twice), MEAN),
    "a row": (CONV, Calls(lambda x: x[:, :, 1].unsqueeze(1)), MEAN),
    "halves of the rows": (CONV, Calls(lambda x: x.chunk(2, 2)[0]), MEAN),
    "a shuffle of pixels": (CONV, Calls(lambda x: x.view(1, 4, 2, 9, 16).transpose(2, 3).reshape(x.shape)), MEAN),
    "a shuffle whose step is read elsewhere": (CONV, Calls(shuffle_and_step)),
    "a part that is changed in place": (CONV, Calls(lambda x: torch.cat([x[:, :2].relu_(), x[:, 1:]], 1)), MEAN),
    "a pool over channels and rows": (CONV, Calls(lambda x: functional.max_pool2d(x.mean(3), 2)), nn.Flatten()),
    "log-softmax of a map": (CONV, nn.LogSoftmax(1), MEAN),
    "log-softmax over the photos": (CONV, MEAN, nn.LogSoftmax(0)),
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


def stochastic_depth(x: torch.Tensor, p: float, mode: str, training: bool = True) -> torch.Tensor:
    return x * (torch.rand(()) > p) if training and mode == "row" else x


stochastic_depth.__module__ = "torchvision.ops.stochastic_depth"
torch.fx.wrap("stochastic_depth")


def test_stochastic_depth_of_torchvision_has_no_effect_in_evaluation():
    """It is one node of a trace, as its authors want it, in EfficientNet and others."""
    assert program_of(CONV, Calls(lambda x: stochastic_depth(x, 0.5, "row", training=False)), MEAN)[0] == 2
    assert program_of(CONV, Calls(lambda x: stochastic_depth(x, 0.5, "row", False)), MEAN)[0] == 2
    assert program_of(CONV, Calls(lambda x: stochastic_depth(x, 0.5, "row")), MEAN) == []


def test_a_network_that_is_called_in_its_own_way_has_no_program():
    assert network_program(Doubled(CONV, MEAN).eval(), SMALL) == b""


def test_arguments_after_the_photos_have_their_default_values():
    assert network_program(Optional(CONV, MEAN).eval(), SMALL) == network_program(nn.Sequential(CONV, MEAN), SMALL)


@pytest.mark.parametrize("function", ["resnet18", "mobilenet", "squeeze_excitation"])
def test_a_network_of_the_user_has_a_program_whether_or_not_its_norms_are_folded(function):
    folded = UserNetwork(factory=f"user_networks:{function}", fold_batch_norm=True, input_size=16)
    with_norms = replace(folded, fold_batch_norm=False).load().program
    assert 0 < folded.load().program[0] < with_norms[0]  # operations


REASONS = {
    "a layer": ((CONV, nn.GroupNorm(2, 4), MEAN), r"C does not have the layer 1, GroupNorm\(2, 4.*"),
    "a function": ((CONV, nn.Sequential(Calls(torch.erf)), MEAN), r"the operation erf\(_0\) in the layer 1\.0"),
    "a method": ((CONV, Calls(lambda x: x.cumsum(dim=1)), MEAN), r"the operation cumsum\(_0, dim=1\) in the layer 1"),
    "code that cannot be traced": ((Calls(lambda x: x if x.sum() > 0 else -x), CONV), "torch.fx cannot trace it: .+"),
    "a map": ((CONV, nn.Flatten()), "that return a map as logits"),
    "a hook": ((hooked(), MEAN), "the layer 0 has hooks, parametrizations or a forward of its own"),
}


@pytest.mark.parametrize(("layers", "reason"), REASONS.values(), ids=REASONS)
def test_the_error_names_the_operation_and_its_layer(layers, reason):
    with pytest.raises(NoProgramError, match=reason):
        write_program(nn.Sequential(*layers).eval(), SMALL)


def test_a_layer_that_fails_in_the_trace_prints_nothing(capsys):
    with pytest.raises(NoProgramError, match=r"cannot trace it: mat1 and mat2 shapes cannot be multiplied"):
        write_program(nn.Sequential(CONV, MEAN, nn.Linear(5, 5)).eval(), SMALL)
    assert capsys.readouterr() == ("", "")


def test_a_network_under_autocast_has_no_program():
    """A trace does not show it, and C computes in float32."""
    gray = replace(SMALL, channels="L")
    assert network_program(small_network("").eval(), gray)
    with pytest.raises(NoProgramError, match=r"other outputs, by 0\.\d+% of the largest: .*torch\.autocast"):
        write_program(small_network("autocast").eval(), gray)


class Constrained(nn.Sequential):
    """Limits its weights in each forward pass, as training with constraints leaves it: in place, or by other ones."""

    def __init__(self, how: str) -> None:
        super().__init__(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.how = how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.how == "in place":
            with torch.no_grad():
                self[0].weight.clamp_(-0.05, 0.05)
        else:
            self[0].weight.data = torch.renorm(self[0].weight.data, 2, 0, 0.1)
        return super().forward(x)


@pytest.mark.parametrize("how", ["in place", "by others"])
def test_a_network_that_changes_its_weights_has_no_program(how):
    """C runs with the weights of the file, which are those before the first photo."""
    with pytest.raises(NoProgramError, match=r"forward pass changes 0\.weight$"):
        write_program(Constrained(how).eval(), SMALL)
    assert UserNetwork(factory=f"{__name__}:Constrained", args={"how": how}, input_size=16).load().program == b""


def test_a_network_that_cannot_be_traced_has_no_program():
    assert UserNetwork(factory="user_networks:mixed_layers", input_size=16).load().program == b""


def test_only_logits_of_photos_have_a_program():
    heads = UserNetwork(factory="output_networks:two_heads", input_size=32, outputs=OutputOptions(1, "values"))
    assert heads.load().program == b""
    assert replace(heads, outputs=1).load().program


class ManyNumbers(nn.Module):
    """Reads numbers that no file stores."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.conv, self.mean, self.count = nn.Conv2d(3, 2048, 1), MEAN, count

    def forward(self, x):
        x = self.conv(x)
        for number in range(self.count):
            x = x * torch.linspace(0.1, number + 1, 2048).view(1, -1, 1, 1)
        return self.mean(x)


def test_a_network_whose_program_is_too_large_for_a_file_has_none():
    assert len(network_program(ManyNumbers(1).eval(), SMALL)) > 8192
    assert network_program(ManyNumbers(9).eval(), SMALL) == b""
    with pytest.raises(NoProgramError, match=r"bytes \(allowed: up to 65,536\).* persistent buffers"):
        write_program(ManyNumbers(9).eval(), SMALL)
