from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from compress.errors import ConfigError, PassError
from compress.passes import Prune, Share
from compress.tensors.forms import Dense, Pruned, Shared

WEIGHTS = ("0.weight", "2.weight", "4.weight")
INITS = ("linear", "density", "k-means++")


def values(model, name):
    return model.tensors[name].to_dense()


def error(model, reference, name):
    return float(np.square(values(model, name) - values(reference, name), dtype=np.float64).sum())


def cost(context, name):
    """What the square of an error in each weight costs, in the tensor's shape."""
    return context.statistics(None)[name].weight_cost().reshape(values(context.reference, name).shape)


def alike(left, right):
    return all(np.array_equal(values(left, name), values(right, name)) for name in left.tensors)


class TestCodebook:
    @pytest.mark.parametrize("bits", [1, 2, 5, 8])
    @pytest.mark.parametrize("init", INITS)
    def test_a_layer_takes_at_most_two_to_the_bits_values_zero_among_them(self, tiny, context, bits, init):
        shared = Share(bits=bits, init=init)(Prune(sparsity=0.3)(tiny, context), context)
        for name in WEIGHTS:
            tensor = shared.tensors[name]
            assert isinstance(tensor, Shared)
            assert len(tensor.codebook) <= 2**bits
            assert 0 in tensor.codebook
            assert len(np.unique(tensor.to_dense())) <= 2**bits

    def test_entries_after_the_zero_ascend_and_all_are_used(self, tiny, context):
        for name in WEIGHTS:
            tensor = Share(bits=4)(tiny, context).tensors[name]
            assert (np.diff(tensor.codebook[1:]) > 0).all()
            assert set(np.unique(tensor.indices)) == set(range(1, len(tensor.codebook)))

    def test_every_kept_weight_takes_the_nearest_entry(self, tiny, context):
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
            ("curvature", "none"),
            ("none", "curvature"),
            ("curvature", "curvature"),
        ],
    )
    def test_every_entry_is_the_mean_of_its_weights_by_their_importance(self, tiny, context, importance, scales):
        """Up to the shift at which the k-means stops: a hundredth of the deviation."""
        shared = Share(bits=3, importance=importance, scales=scales, codebook="float32")(tiny, context)
        for name in WEIGHTS:
            tensor, before = shared.tensors[name], values(tiny, name)
            scale = np.broadcast_to(tensor.scale(), before.shape).astype(np.float64)
            counts = {"none": np.ones(before.shape), "magnitude": np.abs(before), "curvature": cost(context, name)}
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

    def test_float16_entries_are_float16_numbers_and_float32_entries_need_not_be(self, tiny, context):
        for name in WEIGHTS:
            half = Share(bits=4)(tiny, context).tensors[name]
            assert half.stored_as == "float16"
            assert np.array_equal(half.codebook, half.codebook.astype(np.float16).astype(np.float32))
            full = Share(bits=4, codebook="float32")(tiny, context).tensors[name]
            assert full.stored_as == "float32"
            assert not np.array_equal(full.codebook, full.codebook.astype(np.float16).astype(np.float32))

    def test_biases_take_their_precision(self, tiny, context):
        assert alike(Share(biases="float32")(tiny, context), Share(biases="float32")(tiny, context))
        mask, rounded = Share(biases="float32")(tiny, context), Share()(tiny, context)
        assert np.array_equal(values(mask, "2.bias"), values(tiny, "2.bias"))
        assert rounded.tensors["2.bias"].stored_as == "float16"
        assert np.array_equal(values(rounded, "2.bias"), values(tiny, "2.bias").astype(np.float16).astype(np.float32))


class TestFewValues:
    @pytest.mark.parametrize("init", INITS)
    def test_no_more_values_than_entries_are_kept_exactly(self, tiny, context, init):
        few = np.random.default_rng(0).choice(np.float32([-2, -0.5, 0.25]), (12, 8, 3, 3))
        shared = Share(bits=2, init=init)(tiny.with_tensors({"2.weight": Dense(few)}), context)
        assert np.array_equal(values(shared, "2.weight"), few)

    def test_zeros_that_nobody_pruned_stay_zero(self, tiny, context):
        few = np.random.default_rng(0).choice(np.float32([-2, 0, 0.25]), (12, 8, 3, 3))
        shared = Share(bits=2)(tiny.with_tensors({"2.weight": Dense(few)}), context)
        assert np.array_equal(values(shared, "2.weight"), few)

    def test_weights_too_small_for_float16_become_zero_not_the_next_larger_value(self, tiny, context):
        few = np.random.default_rng(0).choice(np.float32([1e-12, 0.5]), (12, 8, 3, 3))
        shared = Share(bits=2)(tiny.with_tensors({"2.weight": Dense(few)}), context)
        assert np.array_equal(values(shared, "2.weight"), np.where(few > 0.1, few, 0))

    def test_a_layer_of_zeros_has_the_zero_alone(self, tiny, context):
        shared = Share()(tiny.with_tensors({"2.weight": Dense(np.zeros((12, 8, 3, 3), np.float32))}), context)
        assert shared.tensors["2.weight"].codebook.tolist() == [0]

    @pytest.mark.parametrize("scales", ["none", "curvature"])
    def test_a_layer_of_which_nothing_is_kept_has_the_zero_alone(self, tiny, context, scales):
        shared = Share(scales=scales)(Prune(sparsity=1)(tiny, context), context)
        for name in WEIGHTS:
            assert shared.tensors[name].codebook.tolist() == [0]
            assert not values(shared, name).any()


class TestInit:
    def test_linear_keeps_the_largest_weights_best_and_density_the_frequent_ones(self, tiny, context):
        linear, density = (Share(bits=3, init=init, iterations=1)(tiny, context) for init in ("linear", "density"))
        before = values(tiny, "2.weight")
        largest = np.abs(before) >= np.sort(np.abs(before), axis=None)[-10]

        def off(model, where):
            return np.abs(values(model, "2.weight") - before)[where].mean()

        assert off(linear, largest) < off(density, largest)
        assert off(density, ~largest) < off(linear, ~largest)

    @pytest.mark.parametrize("init", INITS)
    def test_the_same_seed_gives_the_same_bits(self, tiny, context, init):
        share = Share(bits=4, init=init)
        assert alike(share(tiny, context), share(tiny, replace(context, cache={})))

    def test_another_seed_changes_k_means_plus_plus_and_nothing_else(self, tiny, context):
        other = replace(context, seed=1)
        assert alike(Share(bits=4)(tiny, context), Share(bits=4)(tiny, other))
        assert alike(Share(bits=4, init="density")(tiny, context), Share(bits=4, init="density")(tiny, other))
        random = Share(bits=4, init="k-means++")
        assert not alike(random(tiny, context), random(tiny, other))


class TestImportance:
    def test_magnitude_draws_the_entries_to_the_large_weights(self, tiny, context):
        plain, weighted = (Share(bits=2, importance=kind)(tiny, context) for kind in ("none", "magnitude"))
        assert np.abs(weighted.tensors["2.weight"].codebook).max() > np.abs(plain.tensors["2.weight"].codebook).max()

    def test_curvature_lowers_the_error_weighted_by_its_cost_on_a_real_layer(self, squeezenet, real_context):
        name = "features.6.expand3x3.weight"
        only = replace(squeezenet, tensors={name: squeezenet.tensors[name]})

        def off(importance):
            shared = Share(bits=4, init="density", importance=importance)(only, real_context)
            return float((cost(real_context, name) * (values(shared, name) - values(only, name)) ** 2).sum())

        assert off("curvature") < 0.95 * off("none")


class TestScales:
    def test_dense_values_stay_near_the_original(self, tiny, context):
        shared = Share(bits=6, scales="curvature")(tiny, context)
        for name in WEIGHTS:
            assert error(shared, tiny, name) < 0.01 * float((values(tiny, name) ** 2).sum())

    def test_rows_and_columns_that_cost_more_get_the_finer_scales(self, tiny, context):
        tensor = Share(bits=4, scales="curvature")(tiny, context).tensors["2.weight"]
        statistics = context.statistics(None)["2.weight"]
        by_cost = np.argsort(statistics.output_cost)
        assert (np.diff(tensor.row_exponents[by_cost]) <= 0).all()
        assert np.ptp(tensor.row_exponents) > 0
        assert tensor.column_exponents.shape == (8,)

    def test_an_error_of_one_step_costs_the_same_in_every_row_and_column(self, tiny, context):
        """Up to the rounding of the scales: an eighth of an octave either way, twice that in the square."""
        for name in WEIGHTS:
            tensor, statistics = (
                Share(bits=4, scales="curvature")(tiny, context).tensors[name],
                context.statistics(None)[name],
            )
            remaining = -2 * np.log2(np.diag(statistics.feedback())).reshape(len(tensor.column_exponents), -1).mean(1)
            assert np.ptp(np.log2(statistics.output_cost) + tensor.row_exponents / 2) <= 0.5001
            assert np.ptp(remaining + tensor.column_exponents / 2) <= 0.5001

    def test_weights_beyond_float16_fit_when_scaled(self, tiny, context):
        large = tiny.with_tensors({"2.weight": Dense(values(tiny, "2.weight") * np.float32(1e6))})
        shared = Share(bits=6, scales="curvature")(large, context)
        assert error(shared, large, "2.weight") < 0.01 * float(
            (values(large, "2.weight").astype(np.float64) ** 2).sum()
        )

    def test_photos_that_show_nothing_give_finite_values(self, tiny, context, photos_of):
        grey = replace(context, calibration=photos_of(np.full((4, 12, 12, 3), 128, np.uint8)), cache={})
        shared = Share(bits=4, scales="curvature", importance="curvature")(tiny, grey)
        for name in WEIGHTS:
            assert np.isfinite(values(shared, name)).all()


class TestPromises:
    @pytest.mark.parametrize("scales", ["none", "curvature"])
    def test_pruned_weights_stay_exactly_zero_and_the_others_do_not_become_zero(self, tiny, context, scales):
        pruned = Prune(sparsity=0.7)(tiny, context)
        shared = Share(bits=3, scales=scales)(pruned, context)
        for name in WEIGHTS:
            assert np.array_equal(values(shared, name) != 0, pruned.tensors[name].mask)
            assert np.array_equal(shared.tensors[name].mask, pruned.tensors[name].mask)

    def test_the_input_is_not_changed(self, tiny, context):
        before = {name: values(tiny, name).tobytes() for name in tiny.tensors}
        Share(bits=2, scales="curvature")(tiny, context)
        assert {name: values(tiny, name).tobytes() for name in tiny.tensors} == before

    def test_weights_too_large_for_float16_are_an_error_that_says_take_float32(self, tiny, context):
        large = tiny.with_tensors({"2.weight": Dense(values(tiny, "2.weight") * np.float32(1e6))})
        with pytest.raises(PassError, match=r"tensor 2\.weight: .* too large for float16; take float32"):
            Share()(large, context)
        assert np.isfinite(values(Share(codebook="float32")(large, context), "2.weight")).all()

    def test_biases_too_large_for_float16_are_an_error_that_says_take_float32(self, tiny, context):
        large = tiny.with_tensors({"2.bias": Dense(np.full(12, 1e6, np.float32))})
        with pytest.raises(PassError, match=r"tensor 2\.bias: .* too large for float16; take float32"):
            Share()(large, context)

    @pytest.mark.parametrize("name", ["2.weight", "2.bias"])
    def test_a_value_that_is_not_finite_is_an_error_that_names_its_tensor(self, tiny, context, name):
        broken = values(tiny, name).copy()
        broken.ravel()[3] = np.nan
        with pytest.raises(PassError, match=f"tensor {name}: 1 weights are not finite"):
            Share()(tiny.with_tensors({name: Dense(broken)}), context)

    def test_weights_that_are_shared_already_are_an_error(self, tiny, context):
        with pytest.raises(PassError, match="shared already"):
            Share()(Share()(tiny, context), context)

    def test_a_pattern_that_names_no_layer_is_an_error(self, tiny, context):
        with pytest.raises(ConfigError, match=r"did you mean '4\.weight'"):
            Share(layers={"4.weigth": 3})(tiny, context)

    def test_values_that_are_pruned_do_not_draw_the_entries(self, tiny, context):
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
        {"codebook": "float8"},
        {"iterations": 0},
        {"layers": {"3x3": 0}},
        {"clusters": 32},
    ],
    ids=str,
)
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ValidationError):
        Share(**options)
