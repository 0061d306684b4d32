"""Pruning while a network trains: when, how much, and that what is gone stays gone."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from compress.container.file import weights_sha256
from compress.errors import ConfigError, PassError
from compress.passes import Prune, Share, Train
from compress.passes.gradual_pruning import Gradual, Pruning, part_at
from compress.pipeline import invariants
from compress.tensors.forms import Dense, Pruned
from compress.training import supervised as training_module
from compress.training.parametrizations import Values
from compress.training.supervised import Training

WEIGHTS = ("0.weight", "2.weight", "4.weight")
QUICK = {"epochs": 12, "batch": 20, "optimizer": "adamw", "learning_rate": 0.01, "shift": 0, "flip": False}


@pytest.fixture
def labelled(context, patchwork):
    return replace(context, calibration=replace(patchwork(120, seed=3), labels=np.arange(120) % 6))


def sparsity(model, names=WEIGHTS):
    kept = np.concatenate([model.tensors[name].mask.ravel() for name in names])
    return 1 - kept.mean()


def drawn(monkeypatch):
    """Have each drawing of masks noted; return the list in which step and masks will be."""
    found, masks_at = [], Pruning.masks

    def noted(self, step, weights):
        masks = masks_at(self, step, weights)
        found.append((step, masks))
        return masks

    monkeypatch.setattr(Pruning, "masks", noted)
    return found


def test_the_sparsity_runs_along_the_cubic_of_the_paper():
    assert [part_at(step, 0, 4) for step in (0, 1, 2, 3, 4)] == [0, 1 - 0.75**3, 1 - 0.5**3, 1 - 0.25**3, 1]
    assert part_at(7, 7, 7) == 1


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_masks_are_drawn_in_turn_and_only_ever_lose_weights(tiny, labelled, monkeypatch, scope):
    found = drawn(monkeypatch)
    prune = Gradual(sparsity=0.8, scope=scope, begin=0.25, end=0.75, every=10)
    trained = Train(**QUICK, held_out=0, prune=prune)(tiny, labelled)  # 72 steps
    assert [step for step, _ in found] == [18, 28, 38, 48, 54]
    shares = [1 - np.concatenate([mask.ravel() for mask in masks.values()]).mean() for _, masks in found]
    assert shares == pytest.approx([0.8 * part_at(step, 18, 54) for step, _ in found], abs=0.01)
    for (_, before), (_, after) in pairwise(found):
        assert all((after[name] <= before[name]).all() for name in WEIGHTS)
    for name in WEIGHTS:
        tensor = trained.tensors[name]
        assert isinstance(tensor, Pruned)
        assert np.array_equal(tensor.mask, found[-1][1][name])
        assert scope == "global" or sparsity(trained, [name]) == pytest.approx(0.8, abs=0.01)
    assert isinstance(trained.tensors["0.bias"], Dense)
    invariants.check(tiny, trained, "train")


def test_it_goes_on_from_what_is_pruned_and_leaves_out_what_a_pattern_names(tiny, labelled):
    before = Prune(sparsity=0.5)(tiny, labelled)
    prune = Gradual(sparsity=0.7, end=0.5, every=5, layers={"0.weight": 0, "4.weight": 0.9})
    trained = Train(**QUICK, prune=prune)(before, labelled)
    invariants.check(before, trained, "train")
    assert [sparsity(trained, [name]) for name in WEIGHTS] == pytest.approx([0.5, 0.7, 0.9], abs=0.02)
    with pytest.raises(ConfigError, match=r"layers\.9\.weight: no weight tensor is named '9\.weight'"):
        Train(**QUICK, prune=replace(prune, layers={"9.weight": 0.1}))(tiny, labelled)


def test_curvature_ranks_otherwise_than_magnitude(tiny, labelled):
    options = {"sparsity": 0.6, "scope": "global", "every": 20}
    first, second = (
        Train(**QUICK, prune=Gradual(**options, criterion=criterion))(tiny, labelled)
        for criterion in ("magnitude", "curvature")
    )
    assert sparsity(first) == pytest.approx(sparsity(second), abs=0.01)
    assert any(not np.array_equal(first.tensors[n].mask, second.tensors[n].mask) for n in WEIGHTS)


def test_only_weights_after_the_last_pruning_can_be_the_best(tiny, labelled, monkeypatch):
    judged = []
    monkeypatch.setattr(Training, "_judgement", lambda self, step: judged.append(step) or (len(judged), 0.0))
    prune = Gradual(sparsity=0.8, end=0.5, every=7)
    trained = Train(**QUICK, prune=prune)(tiny, labelled)
    assert judged == [41, 47, 53, 59, 65, 71]  # the last masks are drawn before step 36
    assert sparsity(trained) == pytest.approx(0.8, abs=0.01)


def test_one_that_is_interrupted_ends_with_the_same_bits(tiny, labelled, tmp_path, monkeypatch):
    options = {**QUICK, "batch": 10, "epochs": 11, "prune": Gradual(sparsity=0.8, end=0.9, every=9)}
    undisturbed = weights_sha256(Train(**options)(tiny, labelled))
    step = Training.step

    def stopped(self, number, places):
        if number == 60:
            raise KeyboardInterrupt
        step(self, number, places)

    monkeypatch.setattr(training_module.Training, "step", stopped)
    kept = replace(labelled, store=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        Train(**options)(tiny, kept)
    monkeypatch.setattr(training_module.Training, "step", step)
    assert weights_sha256(Train(**options)(tiny, kept)) == undisturbed


def test_weights_that_are_shared_are_not_pruned_any_more(tiny, labelled):
    with pytest.raises(PassError, match=r"tensor 0\.weight: its weights are shared already; prune first, then share"):
        Train(**QUICK, prune=Gradual(sparsity=0.5))(Share(bits=4)(tiny, labelled), labelled)


def test_a_mask_that_does_not_hold_is_an_error(tiny, labelled, monkeypatch):
    monkeypatch.setattr(Values, "hold", lambda self: None)
    with pytest.raises(PassError, match=r"tensor 0\.weight: \d+ pruned weights did not stay zero"):
        Train(**QUICK)(Prune(sparsity=0.5)(tiny, labelled), labelled)


def test_momentum_does_not_bring_back_what_was_pruned(tiny, labelled, monkeypatch):
    """The optimiser goes on pulling at weights that it pulled at before they went."""
    seen, step = [], Training.step

    def looked_at(self, number, places):
        step(self, number, places)
        part = self._network.parts["2.weight"]
        seen.append(bool(part.parameter.detach()[torch.from_numpy(~part.mask)].any()))

    monkeypatch.setattr(Training, "step", looked_at)
    Train(**{**QUICK, "optimizer": "sgd"}, prune=Gradual(sparsity=0.7, begin=0.3, end=0.6, every=3))(tiny, labelled)
    assert seen == [False] * len(seen)


@pytest.mark.parametrize(
    "options",
    [{}, {"sparsity": 1.1}, {"sparsity": 0.5, "begin": 0.7, "end": 0.3}, {"sparsity": 0.5, "every": 0},
     {"sparsity": 0.5, "layers": {"3x3": 2}}, {"sparsity": 0.5, "end": 1.5}, {"sensitivity": 0.5}],
    ids=str,
)  # fmt: skip
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ValidationError):
        Gradual(**options)
