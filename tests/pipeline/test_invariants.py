"""Invariants: a stage that breaks one is named, and nothing is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
from small_models import float_squeezenet

from compress.configuration.config import Stage
from compress.errors import PassError
from compress.model import CAFFE, Model
from compress.passes import Pass
from compress.pipeline.invariants import check_invariants
from compress.pipeline.runner import run
from compress.tensors.forms import Dense, Pruned, Shared

MASK = np.array([[True, False], [True, True]])
VALUES = np.where(MASK, np.float32(0.5), np.float32(0))
INDICES = MASK.astype(np.uint16)
CODEBOOK = np.array([0, 0.5], np.float32)
PRUNED, SHARED, DENSE = Pruned(VALUES, MASK), Shared(CODEBOOK, INDICES), Dense(VALUES + np.float32(1))


def model_of(tensor, name="w"):
    return Model("a", 2, CAFFE, {name: tensor})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (DENSE, PRUNED),
        (DENSE, SHARED),
        (PRUNED, SHARED),
        (PRUNED, Pruned(VALUES * 0, MASK)),
        (PRUNED, Pruned(np.zeros((2, 2), np.float32), np.zeros((2, 2), np.bool_))),
        (SHARED, Shared(CODEBOOK * 3, INDICES)),
        (SHARED, Shared(CODEBOOK[:1], INDICES * 0)),
        (Shared(CODEBOOK, INDICES[0]), Shared(CODEBOOK, 1 - INDICES[0])),  # a bias on level 0 is not pruned
        (DENSE, Dense(DENSE.values.astype(np.float16).astype(np.float32), "float16")),
    ],
)
def test_a_smaller_form_breaks_no_invariant(before, after):
    check_invariants(model_of(before), model_of(after), "stage")


@pytest.mark.parametrize(
    ("before", "after", "broken"),
    [
        (PRUNED, Pruned(VALUES + np.float32(1), np.ones((2, 2), np.bool_)), "1 pruned weights are no longer zero"),
        (PRUNED, Shared(CODEBOOK, np.ones((2, 2), np.uint16)), "1 pruned weights are no longer zero"),
        (SHARED, Shared(CODEBOOK, np.ones((2, 2), np.uint16)), "1 pruned weights are no longer zero"),
        (PRUNED, Dense(VALUES), "it lost the mask of its pruned weights"),
        (SHARED, Dense(VALUES), "its weights are no longer shared"),
        (SHARED, PRUNED, "its weights are no longer shared"),
        (SHARED, Shared(np.array([0, 0.5, 1], np.float32), INDICES), "its codebook grew from 2 to 3 values"),
        (SHARED, replace(SHARED, stored_as="float32"), "its precision in the file rose from float16 to float32"),
        (DENSE, Dense(np.full((2, 2), np.nan, np.float32)), "4 weights are not finite"),
        (DENSE, Dense(np.ones((2, 3), np.float32)), r"its shape \(2, 2\) became \(2, 3\)"),
    ],
)
def test_a_broken_invariant_names_the_stage_and_the_tensor(before, after, broken):
    with pytest.raises(PassError, match=rf"^stage bad, tensor w: {broken}$") as caught:
        check_invariants(model_of(before), model_of(after), "bad")
    assert (caught.value.stage, caught.value.tensor) == ("bad", "w")


def test_pruned_weights_can_move_with_their_channels_but_not_change_in_number():
    moved = Pruned(VALUES[:, ::-1].copy(), MASK[:, ::-1].copy())
    shared = Shared(CODEBOOK, INDICES[:, ::-1].copy())
    check_invariants(model_of(PRUNED), replace(model_of(shared), reference=model_of(moved)), "stage")
    with pytest.raises(PassError, match="1 pruned weights are no longer zero"):
        check_invariants(model_of(PRUNED), model_of(shared), "stage")
    with pytest.raises(PassError, match="1 pruned weights are no longer zero"):
        check_invariants(model_of(PRUNED), replace(model_of(SHARED), reference=model_of(moved)), "stage")
    dense = Pruned(VALUES + np.float32(1), np.ones((2, 2), np.bool_))
    with pytest.raises(PassError, match="3 unpruned weights became 4 when channels were permuted"):
        check_invariants(model_of(PRUNED), replace(model_of(shared), reference=model_of(dense)), "stage")


def test_a_stage_cannot_rename_drop_or_reorder_tensors():
    with pytest.raises(PassError, match="stage bad: the tensors of the network changed"):
        check_invariants(model_of(DENSE), model_of(DENSE, "v"), "bad")
    both = Model("a", 2, CAFFE, {"v": DENSE, "w": DENSE})
    with pytest.raises(PassError, match="the tensors of the network changed"):
        check_invariants(both, replace(both, tensors={"w": DENSE, "v": DENSE}), "bad")


@dataclass(frozen=True)
class Regrow(Pass):
    """A pass that sets pruned weights to a value."""

    kind: ClassVar[str] = "regrow"

    def __call__(self, model, context):
        name = model.weight_names()[0]
        values = np.where(model.tensors[name].mask, model.tensors[name].to_dense(), np.float32(0.1))
        return model.with_tensors({name: Pruned(values, np.ones(values.shape, np.bool_))})


@dataclass(frozen=True)
class Ready:
    """A source of given weights."""

    description: ClassVar[str] = "made up"
    is_trained: ClassVar[bool] = True

    def load(self, seed):
        return float_squeezenet()


def test_a_run_whose_pass_breaks_an_invariant_fails_and_writes_nothing(read, tmp_path):
    pipeline = read(
        "data: {calibration: {source: digits, limit: 2}, validation: {source: digits, limit: 2}}\n"
        "stages: [{pass: prune, sparsity: 0.5}]"
    )
    broken = replace(pipeline, model=Ready(), stages=(*pipeline.stages, Stage("regrow", Regrow())))
    with pytest.raises(PassError, match=r"^stage regrow, tensor features\.0\.weight: 864 pruned weights are no longer"):
        run(broken, tmp_path / "out", device="cpu")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["cache"]
