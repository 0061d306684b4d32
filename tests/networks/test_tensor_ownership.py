"""Networks whose tensors share memory, or are not those of the state dictionary."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from compress import container
from compress.errors import ConfigError
from compress.networks.modules import set_weights, to_module
from compress.tensors.forms import Dense
from compress.weights.user_network import UserNetwork


class Usual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Linear(8, 5)

    def forward(self, x):
        return self.head(self.second(self.first(x).relu()).relu().mean((2, 3)))


class Twice(Usual):
    """Two convolutions whose weights are one memory, as old autoencoders and language models have them."""

    def __init__(self) -> None:
        super().__init__()
        self.third = nn.Conv2d(8, 8, 3)
        self.third.weight.data = self.second.weight.data

    def forward(self, x):
        return self.head(self.third(self.second(self.first(x).relu()).relu()).mean((2, 3)))


class HalfOfAnother(Usual):
    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Linear(4, 5)
        self.part.weight = nn.Parameter(self.head.weight.data[:, 2:6])


class BufferOfAWeight(Usual):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shown", self.head.weight.data[0])


class OnePieceOfMemory(Usual):
    """All parameters are views of one tensor, side by side or interleaved."""

    def __init__(self) -> None:
        super().__init__()
        memory = torch.randn(2, sum(parameter.numel() for parameter in self.parameters()))
        start = 0
        for index, parameter in enumerate(self.parameters()):
            flat = memory[index % 2, start : start + parameter.numel()]
            parameter.data = flat.view_as(parameter)
            start += parameter.numel()
        columns = torch.randn(8, 16)
        self.left, self.right = nn.Linear(8, 8), nn.Linear(8, 8)
        self.left.weight, self.right.weight = nn.Parameter(columns[:, :8]), nn.Parameter(columns[:, 8:])


class RenamedState(Usual):
    def state_dict(self, *args, **options):
        return {f"net.{name}": tensor for name, tensor in super().state_dict(*args, **options).items()}


class HalfPrecisionState(Usual):
    def __init__(self) -> None:
        super().__init__()
        self.register_state_dict_post_hook(self._halve)

    @staticmethod
    def _halve(_, state, __, ___):
        state.update({name: tensor.half() for name, tensor in state.items()})


class PartOfTheState(Usual):
    def state_dict(self, *args, **options):
        return {name: each for name, each in super().state_dict(*args, **options).items() if "second" not in name}


def quantized() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(Usual().eval(), {nn.Linear}, dtype=torch.qint8)


@cache
def always_the_same() -> nn.Module:
    return Usual()


BACKBONE = nn.Conv2d(3, 8, 3)


def shared_backbone() -> nn.Module:
    network = Usual()
    network.first = BACKBONE
    return network


KERNELS = torch.randn(8, 3, 3, 3)


def shared_values() -> nn.Module:
    network = Usual()
    network.first.weight = nn.Parameter(KERNELS)
    return network


class Drawn(Usual):
    """Multiplies features with numbers that are in no state dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.projection = torch.randn(8, 8)

    def forward(self, x):
        return self.head(self.second(self.first(x).relu()).mean((2, 3)) @ self.projection)


class PlainList(Usual):
    """Has layers and a parameter in collections that torch does not look into."""

    def __init__(self) -> None:
        super().__init__()
        self.more, self.gains = [nn.Linear(8, 8), self.head], {"one": nn.Parameter(torch.randn(8))}

    def forward(self, x):
        return self.head(self.more[0](self.second(self.first(x).relu()).mean((2, 3))) * self.gains["one"])


def in_inference_mode() -> nn.Module:
    with torch.inference_mode():
        return Usual()


def load(name: str):
    return UserNetwork(factory=f"{__name__}:{name}", input_size=16).load()


def test_weights_that_are_one_memory_are_compressed_once_and_have_both_names_outside():
    model = load("Twice")
    assert model.weight_names() == ["first.weight", "second.weight", "head.weight"]
    network = to_module(model)
    assert network.third.weight is network.second.weight


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("HalfOfAnother", r"head\.weight and part\.weight share memory.*give one of them a copy"),
        ("BufferOfAWeight", r"head\.weight and shown share memory"),
        ("RenamedState", r"its state_dict renames or computes tensors \(net\.first\.weight, .*remove the override"),
        ("HalfPrecisionState", r"renames or computes tensors \(first\.weight, "),
        ("PartOfTheState", r"its state_dict lacks parameters \(second\.weight, second\.bias\)"),
        ("always_the_same", r"parameters of an earlier call \(first\.weight, .*functools\.cache"),
        ("shared_backbone", r"parameters of an earlier call \(first\.weight, first\.bias\)"),
        ("shared_values", r"parameters of an earlier call \(first\.weight\)"),
        ("Drawn", "built again with the same parameters and buffers, it is another network; register what"),
        ("PlainList", r"another network: more\[0\], gains\['one'\] in a plain list, .*; use nn\.ModuleList"),
    ],
)
def test_a_network_whose_weights_cannot_be_set_is_an_error(name, problem):
    with pytest.raises(ConfigError, match=problem):
        load(name)


@pytest.mark.filterwarnings("ignore")
def test_a_quantized_network_is_an_error():
    with pytest.raises(ConfigError, match=r"computes tensors \(head\.scale, .*make a float network instead"):
        load("quantized")


@pytest.mark.parametrize("name", ["OnePieceOfMemory", "in_inference_mode"])
def test_weights_of_other_memory_are_set_one_by_one(name):
    model = load(name)
    changed = {key: Dense(tensor.to_dense() + index) for index, (key, tensor) in enumerate(model.tensors.items())}
    network = to_module(model.with_tensors(changed))
    for key, tensor in network.state_dict().items():
        assert np.array_equal(tensor, changed[key].to_dense()), key
    assert container.decode(container.encode(model)).tensors.keys() == model.tensors.keys()


def test_a_weight_whose_rows_overlap_takes_any_values():
    network = nn.Sequential(nn.Linear(8, 10))
    network[0].weight = nn.Parameter(torch.zeros(17).unfold(0, 8, 1))
    values = np.arange(80, dtype=np.float32).reshape(10, 8)
    set_weights(network, {"0.weight": Dense(values)})
    assert np.array_equal(network[0].weight.detach(), values)
