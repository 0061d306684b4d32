"""The interface of a pass: registration and defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from pydantic import ValidationError
from tiny_model import values

from compress import container
from compress.errors import PassError
from compress.passes import PASSES, Distill, Pass, Prune, Quantize, Recode, Share, Simplify, Train
from compress.tensors.forms import Dense


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


PLAIN = [Prune(sparsity=0.9, criterion="fisher"), Share(bits=2), Share(bits=3, lambda_=1e-7), Quantize(lambda_=1e-4),
         Simplify(), Train(epochs=1, prune={"sparsity": 0.5})]  # fmt: skip


@pytest.mark.parametrize("pass_", PLAIN, ids=repr)
@pytest.mark.parametrize("first", [Share(bits=4), Quantize(lambda_=1e-4)], ids=repr)
def test_weights_that_are_shared_already_are_an_error_of_passes_for_plain_weights(first, pass_, tiny, labelled):
    shared = first(tiny, labelled)
    with pytest.raises(
        PassError, match=r"tensor 0\.weight: its weights are shared already; put the pass .* before share"
    ):
        pass_(shared, labelled)


@pytest.mark.parametrize("pass_", PLAIN, ids=repr)
@pytest.mark.parametrize("name", ["2.weight", "2.bias"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_an_error_that_names_its_tensor(bad, name, pass_, tiny, labelled):
    broken = values(tiny, name).copy()
    broken.ravel()[3] = bad
    with pytest.raises(PassError, match=f"tensor {name}: 1 weights are not finite"):
        pass_(tiny.with_tensors({name: Dense(broken)}), labelled)


@pytest.mark.parametrize("pass_", [*PLAIN, Distill(steps=3), Train(epochs=1), Recode()], ids=repr)
def test_the_input_is_not_changed(pass_, tiny, labelled):
    shared = Share(bits=4)(tiny, labelled)
    before = container.encode(tiny), container.encode(shared)
    pass_(tiny if pass_ in PLAIN else shared, labelled)
    assert (container.encode(tiny), container.encode(shared)) == before


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
