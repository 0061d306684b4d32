"""A run that trains its float network: later stages are compared with the trained network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
from small_models import float_squeezenet

from compress import container
from compress.configuration.config import read_pipeline
from compress.errors import DataError
from compress.pipeline.runner import run
from compress.tensors.forms import Dense, Shared
from compress.weights.squeezenet_weights import RandomWeights

TEXT = """\
seed: 3
model: {source: random, architecture: squeezenet1_1, classes: 10, input_size: 32, resize: squash}
data:
  calibration: {source: digits, limit: 60}
  validation: {source: digits, limit: 40}
stages:
  - {pass: train, epochs: 2, optimizer: adamw, learning_rate: 0.001, flip: false, validation_split: 0}
  - {pass: train, name: on, epochs: 1, optimizer: adamw, learning_rate: 0.001, flip: false, validation_split: 0}
  - {pass: prune, sparsity: 0.5}
  - {pass: share, bits: 4, kmeans_iterations: 1}
  - {pass: train, name: again, epochs: 1, optimizer: adamw, learning_rate: 0.0001, flip: false, validation_split: 0}
goal: {max_top1_drop: 100}
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("from-nothing")
    (folder / "p.yaml").write_text(TEXT)
    return run(read_pipeline(folder / "p.yaml"), folder / "out", device="cpu")


def test_the_trained_network_is_the_reference_of_all_stages(done):
    baseline, first, on, prune, share, again, _, proof = done.record.stages
    assert (baseline.kind, baseline.sparsity, on.name) == ("baseline", 0, "on")
    for stage in (baseline, on):
        assert stage.fidelity.agreement.value == 1
        assert stage.fidelity.divergence_nats.value == 0
    assert baseline.accuracy == on.accuracy
    assert first.fidelity.divergence_nats.value > 0
    assert prune.fidelity.divergence_nats.value > 0
    assert proof.fidelity == again.fidelity
    assert share.file_bytes < prune.file_bytes < baseline.file_bytes
    (goal,) = done.record.goals
    assert goal.reached == pytest.approx(baseline.accuracy.top1.value - proof.accuracy.top1.value)


def test_the_record_names_the_stages_that_trained(done):
    record = done.record
    assert record.weights_source == (
        "squeezenet1_1 for 10 classes with random weights, trained by the stage train, trained by the stage on"
    )
    start = RandomWeights("squeezenet1_1", 10, input_size=32, resize="squash").load(3)
    assert record.weights_sha256 not in {container.weights_sha256(start), record.file.weights_sha256}


def test_training_keeps_zeros_and_codebooks(done):
    model = container.read(done.model_path)
    for name in model.weight_names():
        tensor = model.tensors[name]
        assert isinstance(tensor, Shared)
        assert len(np.unique(tensor.to_dense())) <= 2**4
        assert (tensor.to_dense() == 0).mean() >= 0.5


@dataclass(frozen=True)
class WithDeadChannels:
    """A source of a network with channels that `simplify` removes."""

    description: ClassVar[str] = "made up"
    is_trained: ClassVar[bool] = True

    def load(self, seed):
        model = float_squeezenet()
        dead = {name: model.tensors[name].to_dense().copy() for name in ("features.0.weight", "features.0.bias")}
        for values in dead.values():
            values[:5] = 0
        return model.with_tensors({name: Dense(values) for name, values in dead.items()})


def test_training_after_simplify_makes_the_reference_but_gradual_pruning_does_not(read, tmp_path):
    options = "epochs: 1, optimizer: adamw, learning_rate: 0.0001, flip: false, validation_split: 0"
    data = "{calibration: {source: digits, limit: 10}, validation: {source: digits, limit: 10}}"
    train, pruned = f"pass: train, {options}", f"pass: train, name: on, {options}, prune: {{sparsity: 0.5}}"
    text = f"data: {data}\nstages: [{{pass: simplify}}, {{{train}}}, {{{pruned}}}]"
    pipeline = replace(read(text), model=WithDeadChannels())
    baseline, simplified, train, on, *_ = run(pipeline, tmp_path / "out", device="cpu").record.stages
    assert simplified.sparsity == train.sparsity == baseline.sparsity > 0
    assert train.fidelity.divergence_nats.value == 0 < simplified.fidelity.divergence_nats.value
    assert on.sparsity == pytest.approx(0.5, abs=0.01)
    assert on.fidelity.divergence_nats.value > 0


def test_photos_without_labels_are_refused_before_the_first_stage(read, tmp_path):
    with pytest.raises(DataError, match="the pass train needs labels, and the calibration photos have none"):
        run(read(TEXT, "data.calibration={source: samples, count: 2}"), tmp_path / "out", device="cpu")
    assert not list(tmp_path.glob("out/*.json"))


def test_a_class_without_photos_is_refused_before_the_first_stage(read, tmp_path):
    with pytest.raises(DataError, match="none of the 4 calibration photos is of class 4 and 5 other classes"):
        run(read(TEXT, "data.calibration.limit=4"), tmp_path / "out", device="cpu")
