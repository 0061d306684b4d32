"""The cache of the float network's logits in a distillation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from compress.training import distillation
from compress.training.distillation import TeacherLogits


@pytest.fixture
def batch_sizes(context, monkeypatch):
    """Batch sizes of all calls of the float network, which is replaced by the first pixels of the photos."""
    sizes = []

    class Counting(torch.nn.Module):
        def forward(self, inputs):
            sizes.append(len(inputs))
            return inputs.flatten(1)[:, :6]

    monkeypatch.setattr(type(context), "network", lambda self, model: Counting())
    return sizes


def test_logits_are_computed_once_for_each_photo_and_each_mirror_image(context, batch_sizes):
    teacher, inputs = TeacherLogits(context), context.inputs(np.arange(20))
    photos, mirrored = np.arange(20), np.arange(20) % 2 == 0
    first = teacher(inputs, photos, mirrored)
    assert torch.equal(teacher(inputs, photos, mirrored), first)
    assert torch.equal(first, inputs.flatten(1)[:, :6])
    teacher(inputs, photos, ~mirrored)
    assert batch_sizes == [20, 20]


def test_a_restored_cache_computes_nothing_again(context, batch_sizes):
    teacher, restored, inputs = TeacherLogits(context), TeacherLogits(context), context.inputs(np.arange(20))
    photos, mirrored = np.arange(20), np.arange(20) % 3 == 0
    first = teacher(inputs, photos, mirrored)
    restored.load_state(teacher.state())
    assert torch.equal(restored(inputs, photos, mirrored), first)
    assert batch_sizes == [20]


def test_a_cache_above_the_limit_is_not_used(context, batch_sizes, monkeypatch):
    monkeypatch.setattr(distillation, "_MAX_CACHE_BYTES", 60 * 2 * 6 * 4 - 1)
    teacher, inputs = TeacherLogits(context), context.inputs(np.arange(20))
    for _ in range(2):
        logits = teacher(inputs, np.arange(20), np.zeros(20, np.bool_))
        assert torch.equal(logits, inputs.flatten(1)[:, :6])
    assert batch_sizes == [20, 20]
    teacher.load_state(teacher.state())
