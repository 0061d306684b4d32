from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from divergence import divergence
from pydantic import ValidationError
from tiny_model import WEIGHTS, values

from compress.container.file import encode
from compress.errors import ConfigError, PassError
from compress.passes import Prune, Share
from compress.quantization.codebooks import CodebookOptions
from compress.quantization.rate_distortion import symbol_bits_of
from compress.quantization.regularization import regularized_quantizer
from compress.tensors.forms import Dense, Pruned, Shared

TINY_LAMBDA = 1e-12
"""So small that bits cost next to nothing."""
INITS = ("linear", "density", "k-means++")


def error(model, reference, name):
    return float(np.square(values(model, name) - values(reference, name), dtype=np.float64).sum())


def cost(context, name):
    """Return the cost of the squared error of each weight, in the tensor's shape."""
    return context.fisher.layer_statistics(None)[name].weight_fisher().reshape(values(context.reference, name).shape)


def alike(left, right):
    return all(np.array_equal(values(left, name), values(right, name)) for name in left.tensors)


def share_layer(model, context, lambda_):
    """Return the model of one layer shared at a lambda."""
    (name,) = model.tensors
    statistics = context.fisher.layer_statistics(None)[name]
    layer = regularized_quantizer(
        name,
        model.tensors[name],
        statistics,
        len(context.calibration),
        lambda_,
        is_classifier=False,
        kernel_transform=False,
    )
    options = CodebookOptions(16, "linear", 100, 4, "float16")
    return model.with_tensors({name: layer.share(lambda_, options, symbol_bits_of(context.codecs), 0)})


@pytest.fixture(scope="module")
def real_layer(squeezenet, real_context):
    """A layer of SqueezeNet, half of it pruned."""
    name = "features.6.expand3x3.weight"
    return Prune(sparsity=0.5)(replace(squeezenet, tensors={name: squeezenet.tensors[name]}), real_context)


class TestCodebook:
    @pytest.mark.parametrize("bits", [1, 2, 5, 8])
    @pytest.mark.parametrize("init", INITS)
    def test_a_layer_has_at_most_two_to_the_bits_values_including_zero(self, tiny, context, bits, init):
        shared = Share(bits=bits, init=init)(Prune(sparsity=0.3)(tiny, context), context)
        for name in WEIGHTS:
            tensor = shared.tensors[name]
            assert isinstance(tensor, Shared)
            assert len(tensor.codebook) <= 2**bits
            assert 0 in tensor.codebook
            assert len(np.unique(tensor.to_dense())) <= 2**bits

    def test_entries_after_zero_ascend_and_all_are_used(self, tiny, context):
        for name in WEIGHTS:
            tensor = Share(bits=4)(tiny, context).tensors[name]
            assert (np.diff(tensor.codebook[1:]) > 0).all()
            assert set(np.unique(tensor.indices)) == set(range(1, len(tensor.codebook)))

    def test_every_unpruned_weight_takes_the_nearest_entry(self, tiny, context):
        shared = Share(bits=3)(tiny, context)
        for name in WEIGHTS:
            entries = shared.tensors[name].codebook[1:]
            distance = np.abs(values(tiny, name)[..., None] - entries)
            assert np.array_equal(shared.tensors[name].indices, 1 + distance.argmin(-1))

    @pytest.mark.parametrize("importance", ["none", "fisher"])
    def test_every_entry_is_the_mean_of_its_weights_by_importance(self, tiny, context, importance):
        """Up to the tolerance of k-means, a hundredth of the standard deviation."""
        shared = Share(bits=3, importance=importance, codebook_precision="float32")(tiny, context)
        for name in WEIGHTS:
            tensor, before = shared.tensors[name], values(tiny, name)
            scale = np.broadcast_to(tensor.scale(), before.shape).astype(np.float64)
            counts = {"none": np.ones(before.shape), "fisher": cost(context, name)}
            counts, before = counts[importance] * scale**2, before / scale
            places = [tensor.indices == i for i in range(1, len(tensor.codebook))]
            means = [np.average(before[place], weights=counts[place]) for place in places]
            np.testing.assert_allclose(tensor.codebook[1:], means, rtol=0, atol=0.01 * before.std())

    def test_more_bits_leave_less_error(self, tiny, context):
        errors = [error(Share(bits=bits)(tiny, context), tiny, "2.weight") for bits in (2, 3, 4, 5, 6)]
        assert errors == sorted(errors, reverse=True)

    def test_bits_differ_by_layer(self, tiny, context):
        shared = Share(bits=2, layers={"3x3": 4, "0.*": 6})(tiny, context)
        assert [len(shared.tensors[name].codebook) for name in WEIGHTS] == [64, 16, 4]

    def test_entries_have_the_precision_of_the_file(self, tiny, context):
        for name in WEIGHTS:
            half = Share(bits=4)(tiny, context).tensors[name]
            assert half.stored_as == "float16"
            assert np.array_equal(half.codebook, half.codebook.astype(np.float16).astype(np.float32))
            full = Share(bits=4, codebook_precision="float32")(tiny, context).tensors[name]
            assert full.stored_as == "float32"
            assert not np.array_equal(full.codebook, full.codebook.astype(np.float16).astype(np.float32))

    def test_biases_have_their_precision(self, tiny, context):
        assert alike(Share(bias_precision="float32")(tiny, context), Share(bias_precision="float32")(tiny, context))
        exact, rounded = Share(bias_precision="float32")(tiny, context), Share()(tiny, context)
        assert np.array_equal(values(exact, "2.bias"), values(tiny, "2.bias"))
        assert rounded.tensors["2.bias"].stored_as == "float16"
        assert np.array_equal(values(rounded, "2.bias"), values(tiny, "2.bias").astype(np.float16).astype(np.float32))


class TestFewValues:
    @pytest.mark.parametrize("init", INITS)
    def test_values_that_fit_the_codebook_are_exact(self, tiny, context, init):
        few = np.random.default_rng(0).choice(np.float32([-2, -0.5, 0.25]), (12, 8, 3, 3))
        shared = Share(bits=2, init=init)(tiny.with_tensors({"2.weight": Dense(few)}), context)
        assert np.array_equal(values(shared, "2.weight"), few)

    def test_unpruned_zeros_stay_zero(self, tiny, context):
        few = np.random.default_rng(0).choice(np.float32([-2, 0, 0.25]), (12, 8, 3, 3))
        shared = Share(bits=2)(tiny.with_tensors({"2.weight": Dense(few)}), context)
        assert np.array_equal(values(shared, "2.weight"), few)

    def test_weights_too_small_for_float16_become_zero(self, tiny, context):
        few = np.random.default_rng(0).choice(np.float32([1e-12, 0.5]), (12, 8, 3, 3))
        shared = Share(bits=2)(tiny.with_tensors({"2.weight": Dense(few)}), context)
        assert np.array_equal(values(shared, "2.weight"), np.where(few > 0.1, few, 0))

    def test_a_layer_of_zeros_has_one_entry(self, tiny, context):
        shared = Share()(tiny.with_tensors({"2.weight": Dense(np.zeros((12, 8, 3, 3), np.float32))}), context)
        assert shared.tensors["2.weight"].codebook.tolist() == [0]

    def test_a_fully_pruned_layer_has_one_entry(self, tiny, context):
        shared = Share()(Prune(sparsity=1)(tiny, context), context)
        for name in WEIGHTS:
            assert shared.tensors[name].codebook.tolist() == [0]
            assert not values(shared, name).any()


class TestInit:
    def test_linear_suits_the_largest_weights_and_density_the_frequent_ones(self, tiny, context):
        linear, density = (
            Share(bits=3, init=init, kmeans_iterations=1)(tiny, context) for init in ("linear", "density")
        )
        before = values(tiny, "2.weight")
        largest = np.abs(before) >= np.sort(np.abs(before), axis=None)[-10]

        def off(model, where):
            return np.abs(values(model, "2.weight") - before)[where].mean()

        assert off(linear, largest) < off(density, largest)
        assert off(density, ~largest) < off(linear, ~largest)

    @pytest.mark.parametrize("init", INITS)
    def test_the_same_seed_gives_the_same_bits(self, tiny, context, init):
        share = Share(bits=4, init=init)
        assert alike(share(tiny, context), share(tiny, replace(context, statistics_cache={})))

    def test_the_seed_changes_only_k_means_plus_plus(self, tiny, context):
        other = replace(context, seed=1)
        assert alike(Share(bits=4)(tiny, context), Share(bits=4)(tiny, other))
        assert alike(Share(bits=4, init="density")(tiny, context), Share(bits=4, init="density")(tiny, other))
        random = Share(bits=4, init="k-means++")
        assert not alike(random(tiny, context), random(tiny, other))


class TestImportance:
    def test_fisher_lowers_the_error_weighted_by_cost_on_a_real_layer(self, squeezenet, real_context):
        name = "features.6.expand3x3.weight"
        only = replace(squeezenet, tensors={name: squeezenet.tensors[name]})

        def off(importance):
            shared = Share(bits=4, init="k-means++", importance=importance)(only, real_context)
            return float((cost(real_context, name) * (values(shared, name) - values(only, name)) ** 2).sum())

        assert off("fisher") < 0.95 * off("none")


class TestLambda:
    @pytest.mark.parametrize("init", INITS)
    def test_the_outputs_diverge_less_than_with_the_nearest_values(self, tiny, context, init):
        nearest, refined = (Share(bits=3, lambda_=value, init=init)(tiny, context) for value in (None, TINY_LAMBDA))
        assert divergence(refined, context) < 0.7 * divergence(nearest, context)

    def test_later_columns_compensate_for_errors(self, tiny, context, photos_of):
        """Two inputs are always equal and all others independent: the error of a weight moves to its twin."""
        pixels = np.random.default_rng(0).integers(0, 256, (60, 12, 12, 3), np.uint8)
        pixels[..., 1] = pixels[..., 0]
        twins = replace(context, calibration=photos_of(pixels))
        nearest, refined = (Share(bits=4, lambda_=value)(tiny, twins) for value in (None, TINY_LAMBDA))

        def pair_error(model):
            float_model = tiny if model is nearest else model.reference
            error = values(model, "0.weight") - values(float_model, "0.weight")
            return float(np.square(error[:, 0] + error[:, 1]).sum())

        assert pair_error(refined) < 0.7 * pair_error(nearest)

    def test_a_larger_lambda_gives_fewer_bytes_and_more_divergence_on_a_real_layer(self, real_layer, real_context):
        """From 1e-6 on: below, the divergence of few photos does not distinguish the values."""
        byte_counts, divergences = [], []
        for lambda_ in (1e-8, 1e-6, 1e-5, 2e-4):
            shared = share_layer(real_layer, real_context, lambda_)
            byte_counts.append(len(encode(replace(shared, labels=()))))
            divergences.append(divergence(real_context.reference.with_tensors(shared.tensors), real_context))
        assert byte_counts == sorted(byte_counts, reverse=True)
        assert divergences[1:] == sorted(divergences[1:])
        assert byte_counts[-1] < 0.21 * byte_counts[1]

    def test_at_the_same_bytes_it_diverges_less_than_k_means_on_a_real_layer(self, real_layer, real_context):
        nearest, refined = Share(bits=4)(real_layer, real_context), share_layer(real_layer, real_context, 1e-7)
        assert len(encode(refined)) <= len(encode(nearest))
        pruned = replace(real_context, reference=real_context.reference.with_tensors(real_layer.tensors))
        divergences = [divergence(pruned.reference.with_tensors(each.tensors), pruned) for each in (refined, nearest)]
        assert divergences[0] < 0.7 * divergences[1]

    @pytest.mark.parametrize("lambda_", [TINY_LAMBDA, 1e-4, 1])
    def test_pruned_weights_stay_zero_and_bits_limit_the_codebook(self, tiny, context, lambda_):
        pruned = Prune(sparsity=0.5)(tiny, context)
        refined = Share(bits=4, lambda_=lambda_)(pruned, context)
        for name in WEIGHTS:
            tensor = refined.tensors[name]
            assert not tensor.to_dense()[values(refined.reference, name) == 0].any()
            assert len(tensor.codebook) <= 16
            assert tensor.codebook[0] == 0
            assert tensor.stored_as == "float16"

    def test_the_file_fills_its_bytes(self, tiny, context):
        limit = len(encode(tiny)) // 4
        shared = Share(bits=8, bytes=limit)(tiny, context)
        assert 0.9 * limit < context.file_bytes(shared) <= limit

    def test_bytes_that_no_lambda_reaches_are_an_error(self, tiny, context):
        with pytest.raises(PassError, match="no lambda makes the file as small as 100 bytes"):
            Share(bytes=100)(tiny, context)

    def test_bits_may_end_before_the_bytes_are_used(self, tiny, context):
        shared = Share(bits=2, bytes=1_000_000)(tiny, context)
        assert context.file_bytes(shared) < 100_000
        assert all(len(shared.tensors[name].codebook) <= 4 for name in WEIGHTS)

    def test_a_codebook_has_no_more_values_than_its_layer(self, tiny, context):
        mask = np.zeros(tiny.tensors["4.weight"].shape, np.bool_)
        mask[0, 0] = True  # one weight is left
        pruned = tiny.with_tensors({"4.weight": Pruned(values(tiny, "4.weight") * mask, mask)})
        shared = Share(bits=8, lambda_=TINY_LAMBDA)(pruned, context)
        assert len(shared.tensors["4.weight"].codebook) == 2
        assert np.count_nonzero(values(shared, "4.weight")) == 1

    def test_a_value_that_costs_more_than_it_saves_has_no_entry(self, tiny, context):
        """All weights differ, and a value takes 16 bits in the codebook."""
        found = Share(bits=8, lambda_=1e-5)(tiny, context).tensors["2.weight"]
        counts = np.bincount(found.indices.ravel())[1:]
        assert found.indices.size > 800
        assert np.median(counts) > 8

    def test_prices_are_those_of_the_codec_that_the_file_takes(self, tiny, context):
        """A Huffman code has no codeword below one bit, so very frequent zeros save less than with context coding."""
        huffman = replace(context, codecs=("huffman",))
        by_coder = [Share(bits=4, lambda_=3e-5)(tiny, each) for each in (huffman, context)]
        in_huffman = [huffman.file_bytes(model) for model in by_coder]
        assert in_huffman[0] != in_huffman[1]

    def test_every_entry_but_the_first_has_a_weight(self, tiny, context):
        shared = Share(bits=5, lambda_=1e-3)(tiny, context)
        for name in WEIGHTS:
            tensor = shared.tensors[name]
            assert set(range(1, len(tensor.codebook))) <= set(np.unique(tensor.indices))

    def test_the_same_model_and_photos_give_the_same_bytes(self, tiny, context):
        share = Share(bits=4, lambda_=1e-7)
        first = encode(share(tiny, context))
        torch.manual_seed(99)
        assert encode(share(tiny, replace(context, statistics_cache={}))) == first

    def test_a_layer_without_output_has_finite_values(self, tiny, context):
        silenced = tiny.with_tensors({"0.bias": Dense(np.full(8, -1000, np.float32))})
        shared = Share(bits=3, lambda_=1e-7)(silenced, replace(context, reference=silenced))
        for name in WEIGHTS:
            assert np.isfinite(values(shared, name)).all()

    def test_a_fully_pruned_layer_stays_pruned(self, tiny, context):
        shared = Share(lambda_=1e-7)(Prune(sparsity=1)(tiny, context), context)
        for name in WEIGHTS:
            assert not values(shared, name).any()


class TestInvariants:
    def test_exactly_the_pruned_weights_are_zero(self, tiny, context):
        pruned = Prune(sparsity=0.7)(tiny, context)
        shared = Share(bits=3)(pruned, context)
        for name in WEIGHTS:
            assert np.array_equal(values(shared, name) != 0, pruned.tensors[name].mask)
            assert np.array_equal(shared.tensors[name].mask, pruned.tensors[name].mask)

    def test_weights_too_large_for_float16_are_an_error(self, tiny, context):
        large = tiny.with_tensors({"2.weight": Dense(values(tiny, "2.weight") * np.float32(1e6))})
        with pytest.raises(PassError, match=r"tensor 2\.weight: .* too large for float16; take float32"):
            Share()(large, context)
        assert np.isfinite(values(Share(codebook_precision="float32")(large, context), "2.weight")).all()

    def test_biases_too_large_for_float16_are_an_error(self, tiny, context):
        large = tiny.with_tensors({"2.bias": Dense(np.full(12, 1e6, np.float32))})
        with pytest.raises(PassError, match=r"tensor 2\.bias: .* too large for float16; take float32"):
            Share()(large, context)

    def test_a_pattern_without_a_match_is_an_error(self, tiny, context):
        with pytest.raises(ConfigError, match=r"did you mean '4\.weight'"):
            Share(layers={"4.weigth": 3})(tiny, context)

    def test_pruned_values_do_not_count_in_k_means(self, tiny, context):
        half = values(tiny, "2.weight") > 0
        positive = Pruned(np.where(half, values(tiny, "2.weight"), np.float32(0)), half)
        tensor = Share(bits=3)(tiny.with_tensors({"2.weight": positive}), context).tensors["2.weight"]
        assert (tensor.codebook[1:] > 0).all()


@pytest.mark.parametrize(
    "options",
    [
        {"bits": 0},
        {"bits": 13},
        {"bits": 2.5},
        {"init": "luck"},
        {"codebook_precision": "float8"},
        {"iterations": 0},
        {"kmeans_iterations": 0},
        {"lambda": 0},
        {"lambda": 2},
        {"lambda": 1e-7, "bytes": 1000},
        {"bias_precision": "levels"},
        {"importance": "magnitude"},
        {"layers": {"3x3": 0}},
        {"clusters": 32},
    ],
    ids=str,
)
def test_invalid_options_are_rejected(options):
    with pytest.raises(ValidationError):
        Share(**options)
