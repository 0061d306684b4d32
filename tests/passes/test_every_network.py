"""All passes on networks as users write them: each is compressed, or refused in one message."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from divergence import divergence, outputs
from torch import nn
from user_networks import (
    GatedNetwork,
    GradientFreeNetwork,
    TupleInTraining,
    recurrent_network,
    small_network,
    viewing_network,
    vision_transformer,
)

from compress import container
from compress.context import Context
from compress.data.digits import Digits
from compress.errors import ConfigError, DataError, PassError
from compress.passes import Distill, Prune, Quantize, Share, Simplify, Train
from compress.training.trained_network import TrainedNetwork
from compress.weights.user_network import UserNetwork

GRAY = {"height": 32, "width": 32, "channels": "L", "mean": (0.5,), "std": (0.25,), "resize": "squash"}
PASSES = {
    "simplify": Simplify(),
    "prune": Prune(sparsity=0.2, criterion="fisher", obs_update=True),
    "share": Share(bits=6, lambda_=1e-7, sensitivity_photos=10),
    "quantize": Quantize(lambda_=1e-7, sensitivity_photos=10),
    "distill": Distill(steps=1, learning_rate=0.001),
    "train": Train(epochs=1, learning_rate=1e-6, flip=False, validation_split=0),
}
CHANGES = (
    "transposed", "padding in forward", "frozen", "weight_norm", "old weight_norm", "spectral_norm",
    "old spectral_norm", "weight of the parent", "input in place", "autocast", "three dimensions", "wrapped", "vmap",
    "whole numbers", "TorchScript", "silent training", "bfloat16 logits", "by keyword",
)  # fmt: skip
"""Unusual things of `small_network`."""

NETWORKS = {
    "view after a convolution": (viewing_network, {}),
    "attention and embedding": (vision_transformer, {}),
    "LSTM": (recurrent_network, {"kind": "LSTM"}),
    "GRU": (recurrent_network, {"kind": "GRU"}),
    "tuple in training": (TupleInTraining, {}),
    **{change: (small_network, {"change": change}) for change in CHANGES},
}


def loaded(function, args, limit=20):
    model = UserNetwork(factory=f"user_networks:{function.__name__}", args=args, preprocessing=GRAY).load()
    return model, Context(model, Digits(limit=limit).load(model.preprocessing, "calibration", classes=model.classes))


class Tokens(nn.Module):
    """Reads gray values through a table. Options, and hooks of its parameters, change gradients for training only."""

    def __init__(self, change: str) -> None:
        super().__init__()
        options = {"padding_idx": 3} if change == "padding_idx" else {change: True} if "hook" not in change else {}
        self.table, self.head = nn.Embedding(8, 12, **options), nn.Linear(12, 10)
        nn.init.normal_(self.table.weight)
        nn.init.normal_(self.head.weight)
        if change == "register_hook":
            self.table.weight.register_hook(lambda gradient: gradient * 1e-3)
        if change == "register_full_backward_hook":
            self.head.register_full_backward_hook(lambda _, gradients, __: tuple(each * 1e-3 for each in gradients))

    def forward(self, x):
        tokens = ((x + 2) * 2).long().clamp(0, 7)[:, 0, ::4, ::4].flatten(1)
        return self.head(torch.relu(self.table(tokens)).mean(1))


HOOKS = ["register_hook", "register_full_backward_hook"]


@pytest.mark.parametrize("change", ["sparse", "padding_idx", "scale_grad_by_freq", *HOOKS])
def test_statistics_are_of_the_gradients_of_the_outputs(change):
    plain, changed = (
        UserNetwork(factory=f"{__name__}:Tokens", args={"change": each}, preprocessing=GRAY).load()
        for each in ("no_hook", change)
    )
    photos = Digits(limit=20).load(plain.preprocessing, "calibration", classes=10)
    expected, actual = (Context(each, photos).fisher.layer_statistics(None) for each in (plain, changed))
    for name, statistics in expected.items():
        assert actual[name].row_fisher == pytest.approx(statistics.row_fisher, rel=1e-4)
    for kind in ("distill", "train"):
        assert PASSES[kind](changed, Context(changed, photos)).weight_names() == ["table.weight", "head.weight"]


class TwoHeads(nn.Module):
    """Uses its last head in training scripts alone."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.head, self.auxiliary = nn.Conv2d(1, 12, 3, 2, 1), nn.Linear(12, 10), nn.Linear(12, 4)

    def forward(self, x):
        return self.head(torch.relu(self.features(x)).mean((2, 3)))


def test_a_network_whose_last_tensors_are_unused_is_trained():
    model = UserNetwork(factory=f"{__name__}:TwoHeads", preprocessing=GRAY).load()
    photos = Digits(limit=20).load(model.preprocessing, "calibration", classes=10)
    trained = Train(epochs=1, learning_rate=0.01, flip=False, validation_split=0)(model, Context(model, photos))
    for name, changes in (("head.weight", True), ("auxiliary.weight", False)):
        before, after = (each.tensors[name].to_dense() for each in (model, trained))
        assert np.any(before != after) == changes


class Centered(nn.Module):
    """Keeps the mean of its features in a buffer, which each training step replaces."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.head = nn.Conv2d(1, 12, 3, 2, 1), nn.Linear(12, 10)
        self.register_buffer("center", torch.zeros(12))

    def forward(self, x):
        features = torch.relu(self.features(x)).mean((2, 3))
        if self.training:
            self.center = 0.9 * self.center + 0.1 * features.detach().mean(0)
        return self.head(features - self.center)


def test_training_keeps_a_buffer_that_the_network_replaces():
    model = UserNetwork(factory=f"{__name__}:Centered", preprocessing=GRAY).load()
    photos = Digits(limit=20).load(model.preprocessing, "calibration", classes=10)
    assert PASSES["train"](model, Context(model, photos)).tensors["center"].to_dense().all()


class Cached(nn.Module):
    """Computes a table from a parameter where it enters evaluation mode, as LeViT does with its attention biases."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 12, 3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 10))
        self.biases, self.order = nn.Parameter(torch.randn(10)), list(range(9, -1, -1))

    def train(self, mode=True):
        self.table = None if mode else self.biases.detach()[self.order]
        return super().train(mode)

    def forward(self, x):
        return self.layers(x) + (self.biases[self.order] if self.table is None else self.table)


def test_a_training_validates_the_weights_that_it_has():
    model = UserNetwork(factory=f"{__name__}:Cached", preprocessing=GRAY).load()
    context = Context(model, Digits(limit=20).load(model.preprocessing, "calibration", classes=10))
    network, inputs = TrainedNetwork(model, context), context.inputs(np.arange(4))
    network.logits(inputs, seed=0)
    network.trained["biases"].parameter.data.add_(torch.arange(10))
    with torch.no_grad():
        expected = context.network(model.with_tensors(network.tensors()))(inputs)
        torch.testing.assert_close(network.logits(inputs), expected)


class CompiledParts(nn.Module):
    """Compiles parts of itself, which must run where there is no compiler."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.compile(nn.Conv2d(1, 12, 3, 2, 1), backend=no_compiler)
        self.second, self.head = nn.DataParallel(nn.Conv2d(12, 12, 3)), nn.Linear(12, 10)
        self.head.compile(backend=no_compiler)

    def forward(self, x):
        return self.head(torch.relu(self.second(torch.relu(self.first(x)))).mean((2, 3)))


def no_compiler(*_: object) -> None:
    raise RuntimeError("there is no compiler")


def test_compiled_parts_of_a_network_run_as_they_are_written():
    model = UserNetwork(factory=f"{__name__}:CompiledParts", preprocessing=GRAY).load()
    assert model.weight_names() == ["first.weight", "second.weight", "head.weight"]
    assert model.program


@pytest.mark.parametrize("name", NETWORKS)
def test_every_pass_keeps_the_predictions_of_the_network(name):
    model, context = loaded(*NETWORKS[name])
    for kind, pass_ in PASSES.items():
        changed = pass_(model, context)
        decoded = container.decode(container.encode(changed))
        assert container.weights_sha256(decoded) == container.weights_sha256(changed)
        assert divergence(changed, context) < 0.02, kind


@pytest.mark.parametrize(
    ("function", "args", "compressed"),
    [
        (recurrent_network, {"kind": "LSTM"}, {"recurrent.weight_ih_l0", "recurrent.weight_hh_l0", "head.weight"}),
        (small_network, {"change": "old weight_norm"}, {"first.weight", "head.weight"}),
        (small_network, {"change": "spectral_norm"}, {"first.weight", "head.weight"}),
        (small_network, {"change": "weight of the parent"}, {"kernel", "second.weight", "head.weight"}),
        (small_network, {"change": "three dimensions"}, {"first.weight", "second.weight", "head.weight"}),
        (small_network, {"change": "wrapped"}, {"first.weight", "second.weight", "head.weight"}),
    ],
)
def test_weight_matrices_are_compressed_and_computed_weights_are_not(function, args, compressed):
    assert set(loaded(function, args)[0].weight_names()) == compressed


def test_attention_and_embedding_are_compressed():
    names = loaded(vision_transformer, {})[0].weight_names()
    assert {"positions.weight", "encoder.layers.0.self_attn.in_proj_weight"} < set(names)
    assert {"encoder.layers.0.self_attn.out_proj.weight", "encoder.layers.0.linear1.weight"} < set(names)


def test_a_quantized_recurrent_network_takes_few_bits():
    model, context = loaded(recurrent_network, {"kind": "LSTM"})
    assert context.file_bytes(PASSES["quantize"](model, context)) < 0.2 * context.file_bytes(model)


def test_layers_without_gradients_are_refused_by_statistics_only():
    model, context = loaded(small_network, {"change": "no_grad"})
    with pytest.raises(PassError, match=r"first\.weight: .*remove torch\.no_grad.*prune by magnitude"):
        PASSES["quantize"](model, context)
    assert np.mean(Prune(sparsity=0.5)(model, context).tensors["first.weight"].to_dense() == 0) == 0.5


@pytest.mark.parametrize(
    ("change", "problem"), [("no backward", ": .*prune by magnitude"), ("sigmoid in place", ": .*; write y = y [+] x")]
)
def test_operations_without_gradients_are_refused_by_statistics_only(change, problem):
    model, context = loaded(small_network, {"change": change})
    assert model.weight_names() == ["first.weight", "second.weight", "head.weight"]
    with pytest.raises(PassError, match=f"gradients of the network cannot be computed{problem}.* and share by k-means"):
        PASSES["quantize"](model, context)
    assert divergence(Share(bits=8)(model, context), context) < 0.02


@pytest.mark.parametrize("use", ["sign", "argmax"])
def test_a_layer_that_outputs_depend_on_without_gradients_is_not_taken_for_a_dead_one(use):
    model, context = loaded(GatedNetwork, {"use": use})
    for name in ("prune", "share", "quantize"):
        with pytest.raises(PassError, match=r"gate\.weight: the outputs depend on it, but no gradient .*argmax, round"):
            PASSES[name](model, context)
    assert divergence(Share(bits=8)(model, context), context) < 0.02


def test_a_layer_whose_outputs_are_dropped_costs_nothing():
    model, context = loaded(GatedNetwork, {"use": "nowhere"})
    changed = PASSES["quantize"](model, context)
    assert not changed.tensors["gate.weight"].to_dense().any()
    assert divergence(changed, context) < 0.02


class Experts(nn.Module):
    """The two experts that a gate chooses, as in Shazeer et al. 2017, arXiv:1701.06538; the gate is sure of itself."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features, self.gate = nn.Conv2d(1, 12, 3, 2, 1), nn.Linear(12, 4)
        self.experts = nn.ModuleList(nn.Linear(12, 10) for _ in range(4))
        nn.init.normal_(self.gate.weight, std=5)
        for expert in self.experts:
            nn.init.normal_(expert.weight)

    def forward(self, x):
        features = torch.relu(self.features(x)).mean((2, 3))
        weights, chosen = self.gate(features).softmax(1).topk(2, 1)
        logits = torch.stack([expert(features) for expert in self.experts], 1)
        return (logits.gather(1, chosen[..., None].expand(-1, -1, 10)) * weights[..., None]).sum(1)


def experts() -> nn.Module:
    return Experts()


@pytest.mark.parametrize("name", ["share", "quantize"])
def test_a_gate_whose_softmax_is_0_or_1_keeps_its_choice(name):
    model = UserNetwork(factory=f"{__name__}:experts", preprocessing=GRAY).load()
    context = Context(model, Digits(limit=20).load(model.preprocessing, "calibration", classes=10))
    changed = PASSES[name](model, context)
    assert divergence(changed, context) < 0.02


class LateExpert(nn.Module):
    """An expert that no photo of the first training step takes."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.expert, self.head = nn.Conv2d(1, 12, 3, 2, 1), nn.Linear(12, 12), nn.Linear(12, 10)
        self.steps = 0

    def forward(self, x):
        x = torch.relu(self.features(x)).mean((2, 3))
        self.steps += self.training
        return self.head(self.expert(x) if self.steps != 1 else x)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_an_expert_that_is_first_used_in_a_later_step_is_trained(optimizer):
    model = UserNetwork(factory=f"{__name__}:LateExpert", preprocessing=GRAY).load()
    context = Context(model, Digits(limit=20).load(model.preprocessing, "calibration", classes=10))
    changed = Train(epochs=1, batch=5, optimizer=optimizer, learning_rate=0.01, validation_split=0)(model, context)
    for name in ("expert.weight", "head.weight"):
        assert np.abs(changed.tensors[name].to_dense() - model.tensors[name].to_dense()).max() > 1e-5


class WithoutWeights(nn.Module):
    """Layers without inputs or outputs, as networks have them whose widths are computed."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.head = nn.Conv2d(1, 12, 3, 2, 1), nn.Linear(12, 10)
        self.no_inputs, self.no_outputs = nn.Linear(0, 10), nn.Linear(10, 0)

    def forward(self, x):
        x = torch.relu(self.features(x)).mean((2, 3))
        return self.head(x) + self.no_inputs(x[:, :0]) + self.no_outputs(self.head(x)).sum()


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_layers_without_weights_are_left_as_they_are():
    model = UserNetwork(factory=f"{__name__}:WithoutWeights", preprocessing=GRAY).load()
    context = Context(model, Digits(limit=20).load(model.preprocessing, "calibration", classes=10))
    for name in ("simplify", "prune", "share", "quantize", "distill"):
        changed = PASSES[name](model, context)
        assert divergence(changed, context) < 0.02, name
    assert model.weight_names() == ["features.weight", "head.weight"]


def test_a_layer_that_no_photo_uses_is_an_error_of_passes_that_need_its_statistics():
    model, context = loaded(GatedNetwork, {"use": "for photos of zeros"})
    by_fisher = Prune(sparsity=0.5, criterion="fisher"), Share(bits=4, importance="fisher")
    for pass_ in (PASSES["prune"], PASSES["share"], PASSES["quantize"], *by_fisher):
        with pytest.raises(PassError, match=r"gate\.weight: .* for none of the calibration photos, .* add photos"):
            pass_(model, context)


def test_training_without_any_gradient_is_an_error():
    model, context = loaded(GradientFreeNetwork, {})
    with pytest.raises(PassError, match=r"remove torch\.no_grad"):
        Distill(steps=1)(model, context)


def test_logits_in_a_dictionary_cannot_be_trained():
    model, context = loaded(TupleInTraining, {"as_dict": True})
    with pytest.raises(PassError, match="returns dict in training mode"):
        PASSES["train"](model, context)


def test_lazy_layers_and_networks_without_matrices_are_errors():
    with pytest.raises(ConfigError, match=r"lazy layers have no sizes yet \(0\.weight.*run it on a photo"):
        loaded(small_network, {"change": "lazy"})
    with pytest.raises(ConfigError, match="no pass can compress a weight of this network; its matrices: kernel"):
        loaded(small_network, {"change": "functional"})


def test_a_network_that_views_its_photos_runs_in_the_default_format():
    model, context = loaded(viewing_network, {})
    network = context.network(model)
    assert torch.isfinite(network(context.inputs(np.arange(2)))).all()


def test_a_network_that_changes_its_input_gets_a_copy():
    model, context = loaded(small_network, {"change": "input in place"})
    network, inputs = context.network(model), context.inputs(np.arange(2))
    before = inputs.clone()
    assert torch.equal(network(inputs), network(inputs))
    assert torch.equal(inputs, before)


def test_activations_that_are_computed_again_have_statistics():
    model, context = loaded(small_network, {"change": "recomputed activations"})
    assert divergence(PASSES["quantize"](model, context), context) < 0.02


def test_photos_on_which_a_network_fails_are_named():
    model, context = loaded(small_network, {"change": "fails on dark photos"})
    dark = replace(context.calibration, pixels=np.zeros_like(context.calibration.pixels))
    with pytest.raises(DataError, match=f"fails on 10 photos, the first of them {dark.names[0]}: IndexError: too dark"):
        outputs(model, replace(context, calibration=dark))
