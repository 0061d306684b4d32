"""Networks whose outputs differ when they run or are built again, or cannot be compared."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from compress.data.photos import Photos
from compress.errors import ConfigError
from compress.evaluation.metrics import run
from compress.networks.modules import to_module
from compress.runtime.progress import no_progress
from compress.weights.user_network import UserNetwork


class Unusual(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.layer, self.kind, self.factor = nn.Conv2d(3, 4, 3), kind, random.random()
        self.norm = nn.BatchNorm2d(4, track_running_stats=False) if kind == "batch norm" else nn.Identity()
        self.recurrent = nn.LSTM(4, 4) if kind == "memory" else None
        self.memory = None
        self.register_buffer("level", torch.full((1,), 0.7))
        self.register_buffer("resized", torch.empty(0))
        self.register_buffer("filled", None)

    def forward(self, x):
        logits = self.norm(self.layer(x)).relu().mean((2, 3))
        if self.kind == "dropout":
            return functional.dropout(logits, 0.5)
        if self.kind == "depth":
            return logits if random.random() < 0.8 else logits * 2
        if self.kind == "drawn":
            return logits * self.factor
        if self.kind == "buffer":
            self.level.mul_(0.5)
            return logits * self.level
        if self.kind == "probabilities":
            return logits.softmax(1)
        if self.kind == "log probabilities":
            return logits.log_softmax(1)
        if self.kind == "infinite":
            return logits / 0
        if self.kind == "masked classes":
            return logits.masked_fill(torch.arange(4) == 2, float("-inf"))
        if self.kind == "gradients":
            logits.register_hook(print)
        if self.kind == "truth values":
            return logits > 0
        if self.kind == "complex numbers":
            return logits + 1j
        if self.kind == "centered":
            return logits - logits.mean(0)
        if self.kind == "resized buffer":
            self.resized = torch.linspace(0, 1, x.shape[1] + 1)
            return logits + self.resized
        if self.kind == "filled buffer":
            self.filled = torch.linspace(0, 1, 4) if self.filled is None else self.filled
            return logits + self.filled
        if self.kind == "sigmoid":
            return logits.sigmoid()
        if self.kind == "one photo":
            return logits.reshape(1, 4)
        if self.kind == "joined":
            return logits.sum(0, keepdim=True)
        if self.recurrent is not None:
            logits, self.memory = self.recurrent(logits[None], self.memory)
            return logits[0]
        return logits[:, :1] if self.kind == "one logit" else logits


def network(kind: str) -> nn.Module:
    return Unusual(kind)


def script() -> nn.Module:
    return torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 16), nn.Flatten()))


def load(kind: str):
    return UserNetwork(factory=f"{__name__}:network", args={"kind": kind}, input_size=16).load()


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("dropout", "draws random"),
        ("depth", "draws random"),
        ("drawn", "built again"),
        ("one logit", "at least 2"),
        ("infinite", "not finite .* its weights are damaged"),
        ("masked classes", r"a logit of -inf, as masks of classes have it, .* use a number such as -100"),
        ("gradients", r"fails .* where no gradients are computed: .* hooks and retain_grad need `if x\.requires_grad`"),
        ("truth values", r"returns a tensor of torch\.bool, expected logits"),
        ("complex numbers", r"returns a tensor of torch\.complex64, expected logits"),
        ("one photo", "not a batch of them"),
        ("joined", "1 rows of outputs for a batch of 2 photos"),
        ("memory", "keeps a state of the photos before"),
        ("probabilities", "remove the softmax"),
    ],
)
def test_a_network_whose_outputs_cannot_be_compared_is_an_error(kind, problem):
    with pytest.raises(ConfigError, match=problem):
        load(kind)


@pytest.mark.parametrize("kind", ["batch norm", "centered"])
def test_a_note_says_that_outputs_depend_on_the_batch(kind):
    assert any("depend on the other photos of its batch" in note for note in load(kind).notes)


@pytest.mark.parametrize("kind", ["usual", "log probabilities"])
def test_a_usual_network_has_no_notes(kind):
    assert load(kind).notes == ()


def test_a_buffer_that_the_forward_pass_updates_keeps_its_value():
    assert load("buffer").tensors["level"].to_dense() == pytest.approx(0.7)


@pytest.mark.parametrize("kind", ["resized buffer", "filled buffer"])
def test_a_buffer_that_the_first_photo_fills_has_the_values_of_the_function(kind):
    model = load(kind)
    assert model.notes == ()
    assert model.tensors["resized"].shape == (0,)
    assert "filled" not in model.tensors


def test_a_note_says_that_outputs_are_those_of_a_sigmoid():
    (note,) = load("sigmoid").notes
    assert note.startswith("the network ends in a sigmoid")


def exported() -> nn.Module:
    return torch.export.export(Unusual("usual").eval(), (torch.zeros(2, 3, 16, 16),)).module()


def test_an_exported_program_is_an_error():
    with pytest.raises(ConfigError, match=r"its eval\(\) fails: .*; return the network itself, not a program of torch"):
        UserNetwork(factory=f"{__name__}:exported", input_size=16).load()


class Energy(Unusual):
    """Adds the gradient of its outputs to its inputs, as energy-based networks do."""

    def forward(self, x):
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(super().forward(x).sum(), x, create_graph=True)
        return super().forward(x + gradient)


def energy() -> nn.Module:
    return Energy("usual")


def test_a_network_may_compute_gradients_itself():
    model = UserNetwork(factory=f"{__name__}:energy", input_size=16).load()
    pixels = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
    photos = Photos(pixels, None, ("a", "b", "c"), "three", "none")
    outputs = run(to_module(model), photos, model.preprocessing, no_progress)
    assert outputs.logits.shape == (3, 4)


class OwnAnswers(Unusual):
    """Returns a buffer of its own, as networks for CUDA graphs do; each call overwrites it."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.register_buffer("answers", torch.zeros(16, 4), persistent=False)

    def forward(self, x):
        logits = super().forward(x)
        self.answers = self.answers.detach()
        self.answers[: len(x)] = logits
        return self.answers[: len(x)]


def test_a_network_that_overwrites_the_answers_that_it_returned_is_measured_on_all_photos():
    model = UserNetwork(factory=f"{__name__}:OwnAnswers", args={"kind": "usual"}, input_size=16).load()
    pixels = np.random.default_rng(0).integers(0, 256, (25, 16, 16, 3), np.uint8)
    photos = Photos(pixels, None, tuple(map(str, range(25))), "", "")
    outputs = run(to_module(model), photos, model.preprocessing, no_progress)
    assert len(np.unique(outputs.logits, axis=0)) == 25


def test_answers_that_a_network_overwrites_do_not_hide_that_it_draws_random_numbers():
    with pytest.raises(ConfigError, match="draws random"):
        UserNetwork(factory=f"{__name__}:OwnAnswers", args={"kind": "dropout"}, input_size=16).load()


class ForInference(Unusual):
    def __init__(self):
        super().__init__("usual")

    def train(self, mode=True):
        if mode:
            raise RuntimeError("for inference only")
        return super().train(mode)


def test_a_network_without_training_mode_is_read():
    assert UserNetwork(factory=f"{__name__}:ForInference", input_size=16).load().weight_names() == ["layer.weight"]


def test_a_torchscript_program_is_an_error():
    with pytest.raises(ConfigError, match="returned a TorchScript program"):
        UserNetwork(factory=f"{__name__}:script", input_size=16).load()


@pytest.mark.parametrize("value", [float("nan"), "x" * 2000, "\ud800"])
def test_arguments_that_a_file_cannot_hold_are_an_error(value):
    with pytest.raises(ConfigError, match=r"model\.args"):
        load(value)
