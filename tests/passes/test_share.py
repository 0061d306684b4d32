from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from divergence import divergence
from pydantic import ValidationError

from compress.container.file import encode
from compress.errors import ConfigError, PassError
from compress.passes import Prune, Quantize, Share
from compress.tensors.forms import Dense, Pruned, Shared

WEIGHTS = ("0.weight", "2.weight", "4.weight")
INITS = ("linear", "density", "k-means++")


def values(model, name):
    return model.tensors[name].to_dense()


def error(model, reference, name):
    return float(np.square(values(model, name) - values(reference, name), dtype=np.float64).sum())


def cost(context, name):
    """Return the cost of the squared error of each weight, in the tensor's shape."""
    return context.fisher.layer_statistics(None)[name].weight_fisher().reshape(values(context.reference, name).shape)


def predicted(model, context, name):
    """Return the divergence that a layer's error causes according to the statistics."""
    statistics = context.fisher.layer_statistics(None)[name]
    difference = (values(model, name) - values(context.reference, name)).astype(np.float64)
    rows = difference.reshape(len(difference), -1)
    return 0.5 * float(statistics.row_fisher @ np.einsum("ij,jk,ik->i", rows, statistics.input_factor, rows))


def alike(left, right):
    return all(np.array_equal(values(left, name), values(right, name)) for name in left.tensors)


def real_share(**options):
    return Share(bits=4, scales="fisher", **options)


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

    @pytest.mark.parametrize(
        ("importance", "scales"),
        [
            ("none", "none"),
            ("magnitude", "none"),
            ("fisher", "none"),
            ("none", "fisher"),
            ("fisher", "fisher"),
        ],
    )
    def test_every_entry_is_the_mean_of_its_weights_by_importance(self, tiny, context, importance, scales):
        """Up to the tolerance of k-means, a hundredth of the standard deviation."""
        shared = Share(bits=3, importance=importance, scales=scales, codebook_precision="float32")(tiny, context)
        for name in WEIGHTS:
            tensor, before = shared.tensors[name], values(tiny, name)
            scale = np.broadcast_to(tensor.scale(), before.shape).astype(np.float64)
            counts = {"none": np.ones(before.shape), "magnitude": np.abs(before), "fisher": cost(context, name)}
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

    @pytest.mark.parametrize("scales", ["none", "fisher"])
    def test_a_fully_pruned_layer_has_one_entry(self, tiny, context, scales):
        shared = Share(scales=scales)(Prune(sparsity=1)(tiny, context), context)
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
    def test_magnitude_moves_entries_towards_large_weights(self, tiny, context):
        plain, weighted = (Share(bits=2, importance=kind)(tiny, context) for kind in ("none", "magnitude"))
        assert np.abs(weighted.tensors["2.weight"].codebook).max() > np.abs(plain.tensors["2.weight"].codebook).max()

    def test_fisher_lowers_the_error_weighted_by_cost_on_a_real_layer(self, squeezenet, real_context):
        name = "features.6.expand3x3.weight"
        only = replace(squeezenet, tensors={name: squeezenet.tensors[name]})

        def off(importance):
            shared = Share(bits=4, init="density", importance=importance)(only, real_context)
            return float((cost(real_context, name) * (values(shared, name) - values(only, name)) ** 2).sum())

        assert off("fisher") < 0.95 * off("none")


class TestScales:
    def test_dense_values_are_close_to_the_weights(self, tiny, context):
        shared = Share(bits=6, scales="fisher")(tiny, context)
        for name in WEIGHTS:
            assert error(shared, tiny, name) < 0.01 * float((values(tiny, name) ** 2).sum())

    def test_rows_and_columns_of_higher_cost_have_finer_scales(self, tiny, context):
        tensor = Share(bits=4, scales="fisher")(tiny, context).tensors["2.weight"]
        statistics = context.fisher.layer_statistics(None)["2.weight"]
        by_cost = np.argsort(statistics.row_fisher)
        assert (np.diff(tensor.row_exponents[by_cost]) <= 0).all()
        assert np.ptp(tensor.row_exponents) > 0
        assert tensor.column_exponents.shape == (8,)

    def test_an_error_of_one_step_costs_the_same_in_every_row_and_column(self, tiny, context):
        """Up to the rounding of the scales: an eighth of an octave either way, twice that in the square."""
        for name in WEIGHTS:
            tensor, statistics = (
                Share(bits=4, scales="fisher")(tiny, context).tensors[name],
                context.fisher.layer_statistics(None)[name],
            )
            remaining = -2 * np.log2(np.diag(statistics.inverse_cholesky())).reshape(
                len(tensor.column_exponents), -1
            ).mean(1)
            assert np.ptp(np.log2(statistics.row_fisher) + tensor.row_exponents / 2) <= 0.5001
            assert np.ptp(remaining + tensor.column_exponents / 2) <= 0.5001

    def test_scales_let_large_weights_fit_float16(self, tiny, context):
        large = tiny.with_tensors({"2.weight": Dense(values(tiny, "2.weight") * np.float32(1e6))})
        shared = Share(bits=6, scales="fisher")(large, context)
        assert error(shared, large, "2.weight") < 0.01 * float(
            (values(large, "2.weight").astype(np.float64) ** 2).sum()
        )

    def test_uniform_photos_give_finite_values(self, tiny, context, photos_of):
        grey = replace(context, calibration=photos_of(np.full((4, 12, 12, 3), 128, np.uint8)))
        shared = Share(bits=4, scales="fisher", importance="fisher")(tiny, grey)
        for name in WEIGHTS:
            assert np.isfinite(values(shared, name)).all()


class TestLambda:
    @pytest.mark.parametrize("options", [{}, {"init": "density"}, {"scales": "fisher"}], ids=str)
    @pytest.mark.parametrize("sparsity", [0.0, 0.5])
    def test_the_error_costs_less_than_that_of_the_nearest_values(self, tiny, context, options, sparsity):
        pruned = Prune(sparsity=sparsity)(tiny, context)
        nearest, refined = (Share(bits=3, lambda_=value, **options)(pruned, context) for value in (None, 0))
        after, before = (sum(predicted(model, context, name) for name in WEIGHTS) for model in (refined, nearest))
        assert after < 0.8 * before
        for name in WEIGHTS:
            assert len(refined.tensors[name].codebook) <= len(nearest.tensors[name].codebook)

        def one_layer_at_a_time(model):
            return sum(divergence(tiny.with_tensors({name: model.tensors[name]}), context) for name in WEIGHTS)

        assert one_layer_at_a_time(refined) < 0.7 * one_layer_at_a_time(nearest)

    def test_later_columns_compensate_for_errors(self, tiny, context, photos_of):
        """Two inputs are always equal and all others independent: the error of a weight moves to its twin."""
        pixels = np.random.default_rng(0).integers(0, 256, (60, 12, 12, 3), np.uint8)
        pixels[..., 1] = pixels[..., 0]
        twins = replace(context, calibration=photos_of(pixels))
        nearest, refined = (Share(bits=4, lambda_=value, iterations=1)(tiny, twins) for value in (None, 0))

        def pair_error(model):
            error = values(model, "0.weight") - values(tiny, "0.weight")
            return float(np.square(error[:, 0] + error[:, 1]).sum())

        assert pair_error(refined) < 0.7 * pair_error(nearest)

    def test_the_target_is_the_float_network_whatever_the_weights_are(self, tiny, context):
        changed = tiny.with_tensors({name: Dense(values(tiny, name) * np.float32(1.2)) for name in WEIGHTS})
        nearest, refined = (Share(bits=4, lambda_=value)(changed, context) for value in (None, 0))
        for name in WEIGHTS:
            assert predicted(refined, context, name) < 0.3 * predicted(nearest, context, name)

    def test_a_larger_lambda_gives_fewer_bytes_and_more_divergence_on_a_real_layer(self, real_layer, real_context):
        """From 1e-6 on: below, the divergence of few photos does not distinguish the values."""
        byte_counts, divergences = [], []
        for lambda_ in (1e-6, 1e-5, 1e-4):
            shared = real_share(lambda_=lambda_, iterations=4)(real_layer, real_context)
            byte_counts.append(len(encode(shared)))
            divergences.append(divergence(real_context.reference.with_tensors(shared.tensors), real_context))
        assert byte_counts[0] < len(encode(real_share(lambda_=0, iterations=4)(real_layer, real_context)))
        assert byte_counts == sorted(byte_counts, reverse=True)
        assert divergences == sorted(divergences)
        assert byte_counts[-1] < 0.5 * byte_counts[0]

    def test_at_the_same_bytes_it_diverges_less_than_k_means_on_a_real_layer(self, real_layer, real_context):
        nearest, refined = (real_share(lambda_=value)(real_layer, real_context) for value in (None, 1e-8))
        assert len(encode(refined)) <= len(encode(nearest))
        divergences = [
            divergence(real_context.reference.with_tensors(shared.tensors), real_context)
            for shared in (refined, nearest)
        ]
        assert divergences[0] < 0.7 * divergences[1]

    @pytest.mark.parametrize("lambda_", [0, 1e-4, 1])
    @pytest.mark.parametrize("scales", ["none", "fisher"])
    def test_pruned_weights_stay_zero_and_the_codebook_never_grows(self, tiny, context, lambda_, scales):
        pruned = Prune(sparsity=0.5)(tiny, context)
        nearest, refined = (Share(bits=4, scales=scales, lambda_=value)(pruned, context) for value in (None, lambda_))
        for name in WEIGHTS:
            tensor = refined.tensors[name]
            assert not tensor.to_dense()[~pruned.tensors[name].mask].any()
            assert len(tensor.codebook) <= len(nearest.tensors[name].codebook)
            assert tensor.codebook[0] == 0
            assert tensor.stored_as == "float16"

    def test_scales_and_biases_do_not_depend_on_lambda(self, tiny, context):
        nearest, refined = (Share(bits=3, scales="fisher", lambda_=value)(tiny, context) for value in (None, 1e-7))
        for name in ("0.bias", "2.bias", "4.bias"):
            assert np.array_equal(values(refined, name), values(nearest, name))
        for name in WEIGHTS:
            assert np.array_equal(refined.tensors[name].row_exponents, nearest.tensors[name].row_exponents)
            assert np.array_equal(refined.tensors[name].column_exponents, nearest.tensors[name].column_exponents)

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

    def test_the_input_is_not_changed(self, tiny, context):
        before = encode(tiny)
        Share(bits=3, lambda_=1e-7)(tiny, context)
        assert encode(tiny) == before

    def test_quantized_weights_are_an_error(self, tiny, context):
        with pytest.raises(PassError, match=r"tensor 0\.weight: .*shared already"):
            Share(lambda_=1e-7)(Quantize(lambda_=1e-4)(tiny, context), context)

    def test_a_layer_without_output_has_finite_values(self, tiny, context):
        silenced = tiny.with_tensors({"0.bias": Dense(np.full(8, -1000, np.float32))})
        shared = Share(bits=3, scales="fisher", lambda_=1e-7)(silenced, replace(context, reference=silenced))
        for name in WEIGHTS:
            assert np.isfinite(values(shared, name)).all()

    def test_a_fully_pruned_layer_stays_pruned(self, tiny, context):
        shared = Share(lambda_=1e-7)(Prune(sparsity=1)(tiny, context), context)
        for name in WEIGHTS:
            assert not values(shared, name).any()


class TestInvariants:
    @pytest.mark.parametrize("scales", ["none", "fisher"])
    def test_exactly_the_pruned_weights_are_zero(self, tiny, context, scales):
        pruned = Prune(sparsity=0.7)(tiny, context)
        shared = Share(bits=3, scales=scales)(pruned, context)
        for name in WEIGHTS:
            assert np.array_equal(values(shared, name) != 0, pruned.tensors[name].mask)
            assert np.array_equal(shared.tensors[name].mask, pruned.tensors[name].mask)

    def test_the_input_is_not_changed(self, tiny, context):
        before = {name: values(tiny, name).tobytes() for name in tiny.tensors}
        Share(bits=2, scales="fisher")(tiny, context)
        assert {name: values(tiny, name).tobytes() for name in tiny.tensors} == before

    def test_weights_too_large_for_float16_are_an_error(self, tiny, context):
        large = tiny.with_tensors({"2.weight": Dense(values(tiny, "2.weight") * np.float32(1e6))})
        with pytest.raises(PassError, match=r"tensor 2\.weight: .* too large for float16; take float32"):
            Share()(large, context)
        assert np.isfinite(values(Share(codebook_precision="float32")(large, context), "2.weight")).all()

    def test_biases_too_large_for_float16_are_an_error(self, tiny, context):
        large = tiny.with_tensors({"2.bias": Dense(np.full(12, 1e6, np.float32))})
        with pytest.raises(PassError, match=r"tensor 2\.bias: .* too large for float16; take float32"):
            Share()(large, context)

    @pytest.mark.parametrize("name", ["2.weight", "2.bias"])
    def test_a_value_that_is_not_finite_is_an_error_that_names_its_tensor(self, tiny, context, name):
        broken = values(tiny, name).copy()
        broken.ravel()[3] = np.nan
        with pytest.raises(PassError, match=f"tensor {name}: 1 weights are not finite"):
            Share()(tiny.with_tensors({name: Dense(broken)}), context)

    def test_shared_weights_are_an_error(self, tiny, context):
        with pytest.raises(PassError, match="shared already"):
            Share()(Share()(tiny, context), context)

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
        {"lambda": -1e-9},
        {"lambda": 2},
        {"layers": {"3x3": 0}},
        {"clusters": 32},
    ],
    ids=str,
)
def test_invalid_options_are_rejected(options):
    with pytest.raises(ValidationError):
        Share(**options)
