"""The interface of a pass: registration and defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from pydantic import ValidationError

from compress.passes import PASSES, Distill, Pass, Prune, Quantize, Recode, Share, Simplify, Train


def test_every_pass_is_registered_under_its_kind():
    assert {"simplify", "prune", "share", "quantize", "distill", "train", "recode"} <= set(PASSES)
    assert all(kind == each.kind for kind, each in PASSES.items())
    assert all(issubclass(each, Pass) for each in PASSES.values())


@pytest.mark.parametrize("kind", PASSES)
def test_every_pass_rejects_an_unknown_option(kind):
    with pytest.raises(ValidationError, match="no_such_option"):
        PASSES[kind](no_such_option=1)


@pytest.mark.parametrize(
    "pass_", [Share(bits=3), Share(lambda_=1e-6), Quantize(lambda_=1e-6), Distill(steps=2), Simplify()], ids=repr
)
def test_pruned_weights_stay_pruned(pass_, tiny, context):
    pruned = Prune(sparsity=0.5)(tiny, context)
    changed = pass_(pruned, context)
    for name in tiny.weight_names():
        zeros = np.count_nonzero(changed.tensors[name].to_dense() == 0)
        assert zeros >= np.count_nonzero(~pruned.tensors[name].mask)


def test_a_new_pass_needs_a_kind_and_a_call_only(tiny, context):
    @dataclass(frozen=True)
    class Identity(Pass):
        kind: ClassVar[str] = "identity"

        def __call__(self, model, context):
            return model

    identity = Identity()
    assert identity(tiny, context) is tiny
    assert identity.layer_options() == {(): {}}
    assert not any((identity.needs_labels, identity.preserves_outputs, identity.keeps_float, identity.keeps_symbols))


def test_a_pass_without_a_call_is_an_error():
    class NoCall(Pass):
        kind: ClassVar[str] = "no-call"

    with pytest.raises(TypeError, match="abstract"):
        NoCall()


@pytest.mark.parametrize(
    ("pass_", "keeps"),
    [
        (Simplify(), True),
        (Train(), True),
        (Train(prune={"sparsity": 0.5}), False),
        (Prune(sparsity=0.5), False),
        (Recode(), False),
    ],
)
def test_lossless_passes_and_training_keep_a_float_network(pass_, keeps):
    assert pass_.keeps_float is keeps


def test_layer_options_name_the_path_of_their_key():
    assert Prune(sparsity=0.5, layers={"1x1": {"sparsity": 0.1}}).layer_options()[()].keys() == {"1x1"}
    assert Train(prune={"sparsity": 0.5, "layers": {"3x3": 0.9}}).layer_options() == {("prune",): {"3x3": 0.9}}
