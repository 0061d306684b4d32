"""Networks that give other outputs when they run or are built again."""

from __future__ import annotations

import random

import pytest
import torch
from torch import nn
from torch.nn import functional

from compress.errors import ConfigError
from compress.networks.user_network import UserNetwork


class Unrepeatable(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.layer, self.kind, self.factor = nn.Conv2d(3, 4, 3), kind, random.random()
        self.register_buffer("level", torch.full((1,), 0.7))

    def forward(self, x):
        logits = self.layer(x).mean((2, 3))
        if self.kind == "dropout":
            return functional.dropout(logits, 0.5)
        if self.kind == "depth":
            return logits if random.random() < 0.8 else logits * 2
        if self.kind == "drawn":
            return logits * self.factor
        if self.kind == "buffer":
            self.level.mul_(0.5)
            return logits * self.level
        return logits[:, :1]


def network(kind: str) -> nn.Module:
    return Unrepeatable(kind)


def load(kind: str):
    return UserNetwork(factory=f"{__name__}:network", args={"kind": kind}, input_size=16).load()


@pytest.mark.parametrize(
    ("kind", "cause"),
    [("dropout", "draws random"), ("depth", "draws random"), ("drawn", "built again"), ("one logit", "at least 2")],
)
def test_a_network_whose_outputs_cannot_be_compared_is_an_error(kind, cause):
    with pytest.raises(ConfigError, match=cause):
        load(kind)


def test_a_buffer_that_the_forward_pass_updates_keeps_its_value():
    assert load("buffer").tensors["level"].to_dense() == pytest.approx(0.7)


@pytest.mark.parametrize("value", [float("nan"), "x" * 2000, "\ud800"])
def test_arguments_that_a_file_cannot_hold_are_an_error(value):
    with pytest.raises(ConfigError, match=r"model\.args"):
        load(value)
