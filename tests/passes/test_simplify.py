"""Simplify: fewer weights, and the same outputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from divergence import outputs
from torch import nn

from compress.context import Context
from compress.passes import Prune, Quantize, Simplify
from compress.tensors.forms import Dense, Pruned
from compress.weights.user_network import UserNetwork


def values(model, name):
    return np.array(model.tensors[name].to_dense())


@pytest.fixture
def with_dead_channels(tiny):
    """No layer reads channel 2 of the first layer, and channel 5 of the second is always zero."""
    unread, silent, bias = values(tiny, "2.weight"), values(tiny, "2.weight"), values(tiny, "2.bias")
    unread[:, 2] = 0
    silent = unread.copy()
    silent[5], bias[5] = 0, -1
    return tiny.with_tensors({"2.weight": Dense(silent), "2.bias": Dense(bias)})


def test_weights_without_effect_are_pruned(with_dead_channels, context):
    simple = Simplify()(with_dead_channels, context)
    assert np.array_equal(outputs(simple, context).logits, outputs(with_dead_channels, context).logits)
    first, second, third = (simple.tensors[name] for name in ("0.weight", "2.weight", "4.weight"))
    assert isinstance(first, Pruned)
    assert isinstance(second, Pruned)
    assert isinstance(third, Pruned)
    assert np.flatnonzero(~first.mask.reshape(8, -1).any(1)).tolist() == [2]
    assert not second.mask[:, 2].any()
    assert np.flatnonzero(~third.mask.reshape(6, 12).any(0)).tolist() == [5]
    assert values(simple, "0.bias")[2] == 0


def test_weights_that_all_have_an_effect_stay_dense(tiny, context):
    simple = Simplify()(tiny, context)
    for name, tensor in tiny.tensors.items():
        assert isinstance(simple.tensors[name], Dense)
        assert np.array_equal(simple.tensors[name].to_dense(), tensor.to_dense())


def test_pruned_weights_stay_pruned(tiny, context):
    pruned = Prune(sparsity=0.9)(tiny, context)
    simple = Simplify()(pruned, context)
    assert np.array_equal(outputs(simple, context).logits, outputs(pruned, context).logits)
    for name in tiny.weight_names():
        assert not (simple.tensors[name].mask & ~pruned.tensors[name].mask).any()


def test_quantize_gives_no_bits_to_channels_that_quantization_makes_dead(tiny, context):
    """A reader's column is so small that quantization makes it zero; then the writer's row becomes zero too."""
    small = values(tiny, "2.weight")
    small[:, 2] *= 0.01
    model = tiny.with_tensors({"2.weight": Dense(small)})
    context = replace(context, reference=model)
    once, twice = (Quantize(lambda_=1e-4, sensitivity_photos=photos)(model, context) for photos in (0, 60))
    # Channels are in another order: channel 2 is found by the direction of its weights.
    rows = values(once.reference, "0.weight").reshape(8, -1)
    channel = int(((rows @ values(model, "0.weight")[2].ravel()) / np.linalg.norm(rows, axis=1)).argmax())
    assert not values(once, "2.weight")[:, channel].any()
    assert values(once, "0.weight")[channel].any()
    assert not values(twice, "0.weight")[channel].any()


class DeadBranch(nn.Module):
    """The first layer of a branch is zero, so the branch adds the bias of its second layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.dead, self.shift = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(4, 3)
        nn.init.zeros_(self.dead.weight)
        nn.init.zeros_(self.dead.bias)

    def forward(self, x):
        x = self.stem(x)
        return self.head((x + self.shift(self.dead(x).relu())).mean((2, 3)))


def test_the_bias_after_dead_channels_stays(patchwork):
    model = UserNetwork(factory=f"{__name__}:DeadBranch", input_size=16, resize="squash").load()
    photos = patchwork(8)
    photos = replace(photos, pixels=np.pad(photos.pixels, ((0, 0), (2, 2), (2, 2), (0, 0))))
    simplified = Simplify()(model, Context(model, photos))
    assert not simplified.notes
    assert not values(simplified, "shift.weight").any()
    assert np.array_equal(values(simplified, "shift.bias"), values(model, "shift.bias"))
