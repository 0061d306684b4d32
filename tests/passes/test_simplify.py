"""Simplify: less to compute or to store, and not another output."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from compress.errors import PassError
from compress.passes import Prune, Quantize, Share, Simplify
from compress.tensors.forms import Dense, Pruned


def outputs(model, context):
    with torch.no_grad():
        return context.network(model)(context.inputs(np.arange(20)))


def values(model, name):
    return np.array(model.tensors[name].to_dense())


@pytest.fixture
def with_dead_channels(tiny):
    """Channel 2 of the first layer is not read; filter 5 of the second is always zero."""
    unread, silent, bias = values(tiny, "2.weight"), values(tiny, "2.weight"), values(tiny, "2.bias")
    unread[:, 2] = 0
    silent = unread.copy()
    silent[5], bias[5] = 0, -1
    return tiny.with_tensors({"2.weight": Dense(silent), "2.bias": Dense(bias)})


def test_what_changes_no_output_is_pruned(with_dead_channels, context):
    simple = Simplify()(with_dead_channels, context)
    assert torch.equal(outputs(simple, context), outputs(with_dead_channels, context))
    first, second, third = (simple.tensors[name] for name in ("0.weight", "2.weight", "4.weight"))
    assert isinstance(first, Pruned)
    assert isinstance(second, Pruned)
    assert isinstance(third, Pruned)
    assert np.flatnonzero(~first.mask.reshape(8, -1).any(1)).tolist() == [2]
    assert not second.mask[:, 2].any()
    assert np.flatnonzero(~third.mask.reshape(6, 12).any(0)).tolist() == [5]
    assert values(simple, "0.bias")[2] == 0


def test_weights_that_all_count_stay_dense(tiny, context):
    simple = Simplify()(tiny, context)
    for name, tensor in tiny.tensors.items():
        assert isinstance(simple.tensors[name], Dense)
        assert np.array_equal(simple.tensors[name].to_dense(), tensor.to_dense())


def test_what_was_pruned_stays_pruned(tiny, context):
    pruned = Prune(sparsity=0.9)(tiny, context)
    simple = Simplify()(pruned, context)
    assert torch.equal(outputs(simple, context), outputs(pruned, context))
    for name in tiny.weight_names():
        assert not (simple.tensors[name].mask & ~pruned.tensors[name].mask).any()


@pytest.mark.parametrize("dead", [True, False])
def test_equalising_keeps_the_outputs_and_brings_rows_to_one_size(tiny, context, dead):
    uneven = values(tiny, "0.weight") * (4.0 ** np.arange(8))[:, None, None, None].astype(np.float32)
    model = tiny.with_tensors({"0.weight": Dense(uneven)})
    simple = Simplify(dead=dead, equalise=True)(model, context)
    torch.testing.assert_close(outputs(simple, context), outputs(model, context), rtol=1e-5, atol=1e-5)
    sizes = [np.abs(values(each, "0.weight")).reshape(8, -1).max(1) for each in (model, simple)]
    assert sizes[1].max() / sizes[1].min() < 0.1 * sizes[0].max() / sizes[0].min()


def test_equalised_weights_lose_less_where_a_layer_shares_few_values(tiny, context):
    uneven = values(tiny, "0.weight") * (4.0 ** np.arange(8))[:, None, None, None].astype(np.float32)
    readers = values(tiny, "2.weight") / (4.0 ** np.arange(8))[None, :, None, None].astype(np.float32)
    model = tiny.with_tensors({"0.weight": Dense(uneven), "2.weight": Dense(readers)})

    def error(simple):
        reference = replace(context, reference=simple, cache={})
        return float((outputs(Share(bits=3)(simple, reference), context) - outputs(model, context)).square().mean())

    assert error(Simplify(equalise=True)(model, context)) < 0.2 * error(model)


def test_shared_weights_are_refused(tiny, context):
    with pytest.raises(PassError, match="simplify before you share or quantize"):
        Simplify()(Share(bits=3)(tiny, context), context)


def test_quantize_gives_no_bits_to_channels_that_nothing_reads_afterwards(tiny, context):
    """Where a reader's column is so small that all of it becomes zero, so does what writes the channel."""
    small = values(tiny, "2.weight")
    small[:, 2] *= 0.01
    model = tiny.with_tensors({"2.weight": Dense(small)})
    context = replace(context, reference=model, cache={})
    once, twice = (Quantize(slope=1e-4, measured_photos=photos)(model, context) for photos in (0, 60))
    # Channels were moved: the one that was in place 2 is written by the same weights, but for their size.
    rows = values(once.origin, "0.weight").reshape(8, -1)
    place = int(((rows @ values(model, "0.weight")[2].ravel()) / np.linalg.norm(rows, axis=1)).argmax())
    assert not values(once, "2.weight")[:, place].any()
    assert values(once, "0.weight")[place].any()
    assert not values(twice, "0.weight")[place].any()
