from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from divergence import divergence
from pydantic import ValidationError

from compress.container.file import encode
from compress.errors import PassError
from compress.passes import Prune, Quantize, Round, Share
from compress.tensors.forms import Dense

WEIGHTS = ("0.weight", "2.weight", "4.weight")


def values(model, name):
    return model.tensors[name].to_dense()


def predicted(model, context, name):
    """The divergence that a layer's errors cost, by its statistics."""
    statistics = context.statistics(None)[name]
    error = (
        (values(model, name) - values(context.reference, name)).reshape(len(values(model, name)), -1).astype(np.float64)
    )
    return 0.5 * float(statistics.output_cost @ np.einsum("ij,jk,ik->i", error, statistics.moment, error))


def test_coefficients_of_kernels_are_refused(tiny, context):
    with pytest.raises(PassError, match=r"0\.weight.*coefficients of kernels.*leave round out"):
        Round()(Quantize(slope=1e-4)(tiny, context), context)


@pytest.mark.parametrize("options", [{}, {"init": "density"}, {"scales": "curvature"}], ids=str)
@pytest.mark.parametrize("sparsity", [0.0, 0.5])
def test_the_error_costs_less_than_that_of_the_nearest_values(tiny, context, options, sparsity):
    shared = Share(bits=3, **options)(Prune(sparsity=sparsity)(tiny, context), context)
    rounded = Round(slope=0)(shared, context)
    after, before = (sum(predicted(model, context, name) for name in WEIGHTS) for model in (rounded, shared))
    assert after < 0.8 * before
    for name in WEIGHTS:
        assert len(rounded.tensors[name].codebook) <= len(shared.tensors[name].codebook)

    def one_layer_at_a_time(model):
        return sum(divergence(tiny.with_tensors({name: model.tensors[name]}), context) for name in WEIGHTS)

    assert one_layer_at_a_time(rounded) < 0.7 * one_layer_at_a_time(shared)


def test_errors_are_made_up_for_by_the_columns_still_to_come(tiny, context, photos_of):
    """Two inputs that are always equal, all others independent: one weight's error is taken back by its twin's."""
    pixels = np.random.default_rng(0).integers(0, 256, (60, 12, 12, 3), np.uint8)
    pixels[..., 1] = pixels[..., 0]
    twins = replace(context, calibration=photos_of(pixels), cache={})
    shared = Share(bits=4)(tiny, twins)
    rounded = Round(slope=0, iterations=1)(shared, twins)

    def pair_error(model):
        error = values(model, "0.weight") - values(tiny, "0.weight")
        return float(np.square(error[:, 0] + error[:, 1]).sum())

    assert pair_error(rounded) < 0.7 * pair_error(shared)


@pytest.fixture(scope="module")
def one_real_layer(squeezenet, real_context):
    name = "features.6.expand3x3.weight"
    only = replace(squeezenet, tensors={name: squeezenet.tensors[name]})
    pruned = Prune(sparsity=0.5)(only, real_context)
    return Share(bits=4, scales="curvature")(pruned, real_context)


def test_the_targets_are_the_float_networks_weights_whatever_the_shared_values_are(tiny, context):
    shared = Share(bits=4)(tiny, context)
    codebooks = {name: np.float32(np.float16(shared.tensors[name].codebook * np.float32(1.2))) for name in WEIGHTS}
    off = shared.with_tensors({name: replace(shared.tensors[name], codebook=codebooks[name]) for name in WEIGHTS})
    rounded = Round(slope=0)(off, context)
    for name in WEIGHTS:
        assert predicted(rounded, context, name) < 0.3 * predicted(off, context, name)


def test_a_larger_slope_gives_fewer_bytes_and_more_divergence_on_a_real_layer(one_real_layer, real_context):
    """From where a bit's price is felt: below, the divergence of few photos does not tell the slopes apart."""
    byte_counts, costs = [], []
    for slope in (1e-6, 1e-5, 1e-4):
        rounded = Round(slope=slope, iterations=4)(one_real_layer, real_context)
        byte_counts.append(len(encode(rounded)))
        costs.append(divergence(real_context.reference.with_tensors(rounded.tensors), real_context))
    assert byte_counts[0] < len(encode(Round(slope=0, iterations=4)(one_real_layer, real_context)))
    assert byte_counts == sorted(byte_counts, reverse=True)
    assert costs == sorted(costs)
    assert byte_counts[-1] < 0.5 * byte_counts[0]


def test_at_the_same_bytes_it_diverges_less_than_sharing_alone_on_a_real_layer(one_real_layer, real_context):
    reference = real_context.reference
    rounded = Round(slope=1e-8)(one_real_layer, real_context)
    assert len(encode(rounded)) <= len(encode(one_real_layer))
    assert divergence(reference.with_tensors(rounded.tensors), real_context) < 0.7 * divergence(
        reference.with_tensors(one_real_layer.tensors), real_context
    )


class TestPromises:
    @pytest.mark.parametrize("slope", [0, 1e-4, 1])
    @pytest.mark.parametrize("scales", ["none", "curvature"])
    def test_pruned_weights_stay_zero_and_entries_never_become_more(self, tiny, context, slope, scales):
        pruned = Prune(sparsity=0.5)(tiny, context)
        shared = Share(bits=4, scales=scales)(pruned, context)
        rounded = Round(slope=slope)(shared, context)
        for name in WEIGHTS:
            tensor = rounded.tensors[name]
            assert not tensor.to_dense()[~pruned.tensors[name].mask].any()
            assert len(tensor.codebook) <= len(shared.tensors[name].codebook)
            assert tensor.codebook[0] == 0
            assert tensor.stored_as == "float16"

    def test_scales_and_biases_stay_as_they_are(self, tiny, context):
        shared = Share(bits=3, scales="curvature")(tiny, context)
        rounded = Round()(shared, context)
        for name in ("0.bias", "2.bias", "4.bias"):
            assert rounded.tensors[name] is shared.tensors[name]
        for name in WEIGHTS:
            assert np.array_equal(rounded.tensors[name].row_exponents, shared.tensors[name].row_exponents)
            assert np.array_equal(rounded.tensors[name].column_exponents, shared.tensors[name].column_exponents)

    def test_every_entry_but_the_first_has_a_weight(self, tiny, context):
        rounded = Round(slope=1e-3)(Share(bits=5)(tiny, context), context)
        for name in WEIGHTS:
            tensor = rounded.tensors[name]
            assert set(range(1, len(tensor.codebook))) <= set(np.unique(tensor.indices))

    def test_the_same_model_and_photos_give_the_same_bytes(self, tiny, context):
        shared = Share(bits=4)(tiny, context)
        first = encode(Round()(shared, context))
        torch.manual_seed(99)
        assert encode(Round()(shared, replace(context, cache={}))) == first

    def test_the_input_is_not_changed(self, tiny, context):
        shared = Share(bits=3)(tiny, context)
        before = encode(shared)
        Round()(shared, context)
        assert encode(shared) == before

    @pytest.mark.parametrize("before", [lambda model, context: model, Prune(sparsity=0.5)], ids=["dense", "pruned"])
    def test_weights_that_are_not_shared_are_an_error_that_says_what_to_do(self, tiny, context, before):
        with pytest.raises(PassError, match=r"tensor 0\.weight: .*not shared yet; put a share stage first"):
            Round()(before(tiny, context), context)

    def test_a_layer_that_never_fires_gives_finite_values(self, tiny, context):
        silenced = tiny.with_tensors({"0.bias": Dense(np.full(8, -1000, np.float32))})
        context = replace(context, reference=silenced, cache={})
        rounded = Round()(Share(bits=3, scales="curvature")(silenced, context), context)
        for name in WEIGHTS:
            assert np.isfinite(values(rounded, name)).all()

    def test_a_layer_of_which_nothing_is_kept_stays_so(self, tiny, context):
        rounded = Round()(Share()(Prune(sparsity=1)(tiny, context), context), context)
        for name in WEIGHTS:
            assert not values(rounded, name).any()


@pytest.mark.parametrize("options", [{"slope": -1e-9}, {"slope": 2}, {"iterations": 0}, {"lambda": 1}], ids=str)
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ValidationError):
        Round(**options)
