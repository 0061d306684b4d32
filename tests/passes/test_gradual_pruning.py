"""Gradual pruning during a training: its schedule, its masks and its errors."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tiny_model import WEIGHTS

from compress.container.file import weights_sha256
from compress.errors import ConfigError
from compress.passes import Prune, Train
from compress.passes.gradual_pruning import GradualMaskSchedule, GradualPruning, cubic_fraction
from compress.pipeline import invariants
from compress.tensors.forms import Dense, Pruned
from compress.training.supervised import SupervisedTraining

QUICK = {"epochs": 12, "batch": 20, "optimizer": "adamw", "learning_rate": 0.01, "shift": 0, "flip": False}


def sparsity(model, names=WEIGHTS):
    kept = np.concatenate([model.tensors[name].mask.ravel() for name in names])
    return 1 - kept.mean()


def record_masks(monkeypatch):
    """Record new masks; return the list that each step with new masks, and the masks, are added to."""
    recorded, masks_at = [], GradualMaskSchedule.masks

    def record(self, step, weights):
        masks = masks_at(self, step, weights)
        recorded.append((step, masks))
        return masks

    monkeypatch.setattr(GradualMaskSchedule, "masks", record)
    return recorded


def test_the_sparsity_follows_the_cubic_of_the_paper():
    assert [cubic_fraction(step, 4) for step in (0, 1, 2, 3, 4)] == [0, 1 - 0.75**3, 1 - 0.5**3, 1 - 0.25**3, 1]
    assert cubic_fraction(0, 0) == 1


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_masks_are_set_at_intervals_and_only_lose_weights(tiny, labelled, monkeypatch, scope):
    found = record_masks(monkeypatch)
    prune = GradualPruning(sparsity=0.8, scope=scope, end=0.75, interval=15)
    trained = Train(**QUICK, validation_split=0, prune=prune)(tiny, labelled)  # 72 steps
    assert [step for step, _ in found] == [0, 15, 30, 45, 54]
    shares = [1 - np.concatenate([mask.ravel() for mask in masks.values()]).mean() for _, masks in found]
    assert shares == pytest.approx([0.8 * cubic_fraction(step, 54) for step, _ in found], abs=0.01)
    for (_, before), (_, after) in pairwise(found):
        assert all((after[name] <= before[name]).all() for name in WEIGHTS)
    for name in WEIGHTS:
        tensor = trained.tensors[name]
        assert isinstance(tensor, Pruned)
        assert np.array_equal(tensor.mask, found[-1][1][name])
        assert scope == "global" or sparsity(trained, [name]) == pytest.approx(0.8, abs=0.01)
    assert isinstance(trained.tensors["0.bias"], Dense)
    invariants.check_invariants(tiny, trained, "train")


def test_pruning_starts_at_the_initial_sparsity_and_layers_have_their_own_sparsity(tiny, labelled):
    before = Prune(sparsity=0.5)(tiny, labelled)
    prune = GradualPruning(sparsity=0.7, end=0.5, interval=5, layers={"0.weight": 0, "4.weight": 0.9})
    trained = Train(**QUICK, prune=prune)(before, labelled)
    invariants.check_invariants(before, trained, "train")
    assert [sparsity(trained, [name]) for name in WEIGHTS] == pytest.approx([0.5, 0.7, 0.9], abs=0.02)
    with pytest.raises(ConfigError, match=r"layers\.9\.weight: no weight tensor is named '9\.weight'"):
        Train(**QUICK, prune=replace(prune, layers={"9.weight": 0.1}))(tiny, labelled)


def test_the_criteria_rank_weights_differently(tiny, labelled):
    options = {"sparsity": 0.6, "scope": "global", "interval": 20}
    first, second = (
        Train(**QUICK, prune=GradualPruning(**options, criterion=criterion))(tiny, labelled)
        for criterion in ("magnitude", "fisher")
    )
    assert sparsity(first) == pytest.approx(sparsity(second), abs=0.01)
    assert any(not np.array_equal(first.tensors[n].mask, second.tensors[n].mask) for n in WEIGHTS)


def test_only_weights_with_the_final_masks_can_be_the_best(tiny, labelled, monkeypatch):
    validated = []
    monkeypatch.setattr(
        SupervisedTraining, "_validate", lambda self, step: validated.append(step) or (len(validated), 0.0)
    )
    prune = GradualPruning(sparsity=0.8, end=0.5, interval=7)
    trained = Train(**QUICK, prune=prune)(tiny, labelled)
    assert validated == [41, 47, 53, 59, 65, 71]  # the final masks are set before step 36
    assert sparsity(trained) == pytest.approx(0.8, abs=0.01)


def test_an_interrupted_training_ends_with_the_same_bits(tiny, labelled, tmp_path, stop_at):
    options = {**QUICK, "batch": 10, "epochs": 11, "prune": GradualPruning(sparsity=0.8, end=0.9, interval=9)}
    undisturbed = weights_sha256(Train(**options)(tiny, labelled))
    stop_at(60)
    resumable = replace(labelled, store=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        Train(**options)(tiny, resumable)
    stop_at(None)
    assert weights_sha256(Train(**options)(tiny, resumable)) == undisturbed


def test_momentum_does_not_revive_pruned_weights(tiny, labelled, monkeypatch):
    """The momentum of a weight outlasts its pruning."""
    revived, step = [], SupervisedTraining.step

    def watch(self, number, photos):
        loss = step(self, number, photos)
        trained = self.network.trained["2.weight"]
        revived.append(bool(trained.parameter.detach()[torch.from_numpy(~trained.mask)].any()))
        return loss

    monkeypatch.setattr(SupervisedTraining, "step", watch)
    Train(**{**QUICK, "optimizer": "sgd"}, prune=GradualPruning(sparsity=0.7, end=0.6, interval=3))(tiny, labelled)
    assert revived == [False] * len(revived)


@pytest.mark.parametrize(
    "options",
    [{}, {"sparsity": 1.1}, {"sparsity": 0.5, "begin": 0.3}, {"sparsity": 0.5, "interval": 0},
     {"sparsity": 0.5, "layers": {"3x3": 2}}, {"sparsity": 0.5, "end": 1.5}, {"sensitivity": 0.5}],
    ids=str,
)  # fmt: skip
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ValidationError):
        GradualPruning(**options)
