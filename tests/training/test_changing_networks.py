"""Training of networks that change themselves in training mode, draw random numbers, or have a module twice."""

from __future__ import annotations

import copy
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from compress.container.file import weights_sha256
from compress.context import Context
from compress.data.digits import Digits
from compress.errors import PassError
from compress.passes import Distill, Quantize, Share, Train
from compress.training.supervised import SupervisedTraining
from compress.weights.user_network import UserNetwork

GRAY = {"height": 16, "width": 16, "channels": "L", "mean": (0.5,), "std": (0.25,), "resize": "squash"}
TRAIN = Train(epochs=1, batch=5, learning_rate=0.05, flip=False, validation_split=0)


def layers() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, 2, 1), nn.BatchNorm2d(8, momentum=None), nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10),
    )  # fmt: skip


class Averaged(nn.Module):
    """Answers with the moving average of its weights, which each training step updates."""

    def __init__(self, change: str = "") -> None:
        super().__init__()
        self.change, self.current = change, layers()
        self.average = copy.deepcopy(self.current).requires_grad_(False)

    def forward(self, x):
        if not self.training:
            return self.logits(self.average, x)
        with torch.no_grad():
            for average, current in zip(self.average.parameters(), self.current.parameters(), strict=True):
                if self.change == "data":
                    average.data = (average.data + current.data) / 2
                else:
                    average.add_(current).div_(2)
        return self.logits(self.current, x)

    def logits(self, layers, x):
        x = layers[:4](x)
        if self.change == "view":  # so the network cannot run in the format "channels last"
            x = x.view(len(x), -1).view(x.shape)
        return layers[4:](x)


class Constrained(nn.Module):
    """Limits the norm of its kernels in each forward pass, as EEGNet does (Lawhern et al. 2018, arXiv:1611.08024)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = layers()

    def forward(self, x):
        first = self.layers[0]
        first.weight.data = torch.renorm(first.weight.data, p=2, dim=0, maxnorm=0.5)
        return self.layers(x)


class Twice(nn.Module):
    """Has one layer under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(1, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 1, 1), nn.Linear(8, 10)
        self.third = self.second

    def forward(self, x):
        return self.head(self.third(torch.relu(self.second(torch.relu(self.first(x))))).mean((2, 3)))


class Scheduled(nn.Module):
    """Counts its steps, remembers features outside the state dictionary, and draws numbers of numpy and Python."""

    def __init__(self) -> None:
        super().__init__()
        self.layers, self.steps = layers(), 0
        self.register_buffer("seen", torch.zeros(10), persistent=False)

    def forward(self, x):
        logits = self.layers(x)
        if not self.training:
            return logits
        self.steps += 1
        self.seen = 0.9 * self.seen + 0.1 * logits.detach().mean(0)
        return (logits - self.seen) * (1 + 1 / self.steps) * (random.random() + np.random.rand())  # noqa: NPY002


def load(network, args=None):
    model = UserNetwork(factory=f"{__name__}:{network.__name__}", args=args or {}, preprocessing=GRAY).load()
    return model, Context(model, Digits(limit=40).load(model.preprocessing, "calibration", classes=10))


@pytest.mark.parametrize("change", ["", "data", "view"])
def test_moving_averages_of_weights_follow_the_training(change):
    model, context = load(Averaged, {"change": change})
    trained = TRAIN(model, context)
    for name in ("0.weight", "1.weight", "3.weight", "6.weight", "6.bias"):
        average, current = (trained.tensors[f"{part}.{name}"].to_dense() for part in ("average", "current"))
        start = model.tensors[f"average.{name}"].to_dense()
        assert 0 < np.abs(average - current).sum() < np.abs(start - current).sum(), name


@pytest.mark.parametrize(
    "pass_", [Share(bits=3), Quantize(lambda_=1e-6, sensitivity_photos=0)], ids=lambda each: each.kind
)
def test_moving_averages_that_cannot_follow_are_an_error(pass_):
    model, context = load(Averaged)
    compressed = pass_(model, context)
    with pytest.raises(
        PassError, match=r"changes average\.0\.weight, .* in training mode, .* cannot follow: train bef"
    ):
        TRAIN(compressed, context)
    assert Distill(steps=1)(compressed, context).training


@pytest.mark.parametrize(
    "pass_", [Share(bits=3), Quantize(lambda_=1e-6, sensitivity_photos=0)], ids=lambda each: each.kind
)
def test_a_constraint_that_holds_in_both_modes_is_no_error(pass_):
    model, context = load(Constrained)
    assert TRAIN(pass_(model, context), context).training


def test_a_layer_of_two_names_is_trained_through_its_codebook():
    model, context = load(Twice)
    shared = Share(bits=3)(model, context)
    trained = TRAIN(shared, context)
    assert np.any(trained.tensors["second.weight"].codebook != shared.tensors["second.weight"].codebook)


def test_numbers_of_numpy_and_python_depend_on_the_seed_alone():
    model, context = load(Scheduled)
    first = weights_sha256(TRAIN(model, context))
    states = np.random.get_state(), random.getstate()  # noqa: NPY002
    assert weights_sha256(TRAIN(model, context)) == first
    assert weights_sha256(TRAIN(model, replace(context, seed=1))) != first
    assert np.array_equal(np.random.get_state()[1], states[0][1])  # noqa: NPY002
    assert random.getstate() == states[1]


def test_an_interrupted_training_resumes_with_what_the_network_remembers(tmp_path, monkeypatch):
    model, context = load(Scheduled)
    train, step = replace(TRAIN, epochs=8, validation_split=0.2), SupervisedTraining.step
    expected = weights_sha256(train(model, context))

    def interrupted(self, number, photos):
        if number == 53:
            raise KeyboardInterrupt
        return step(self, number, photos)

    monkeypatch.setattr(SupervisedTraining, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(model, replace(context, store=tmp_path))
    monkeypatch.setattr(SupervisedTraining, "step", step)
    assert weights_sha256(train(model, replace(context, store=tmp_path))) == expected
