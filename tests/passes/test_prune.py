from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from divergence import divergence
from pydantic import ValidationError

from compress.errors import ConfigError, PassError
from compress.model import Model
from compress.passes import Prune, Share
from compress.passes.prune import compensated
from compress.tensors.forms import Dense, Pruned

WEIGHTS = ("0.weight", "2.weight", "4.weight")


def with_values(model: Model, name: str, values: np.ndarray) -> Model:
    shape = model.tensors[name].shape
    return model.with_tensors({name: Dense(np.broadcast_to(values, shape).astype(np.float32))})


def values(model, name):
    return model.tensors[name].to_dense()


def mask(model):
    return {name: int(model.tensors[name].mask.sum()) for name in WEIGHTS}


class TestSparsity:
    @pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 0.77, 1.0])
    def test_exactly_the_share_asked_for_goes_in_every_layer(self, tiny, context, sparsity):
        pruned = Prune(sparsity=sparsity)(tiny, context)
        for name in WEIGHTS:
            tensor = pruned.tensors[name]
            assert isinstance(tensor, Pruned)
            assert int((tensor.to_dense() == 0).sum()) == round(sparsity * tensor.mask.size)

    def test_the_smallest_go_and_the_others_keep_their_bits(self, tiny, context):
        pruned = Prune(sparsity=0.6)(tiny, context)
        for name in WEIGHTS:
            before, after, stays = values(tiny, name), values(pruned, name), pruned.tensors[name].mask
            assert np.abs(before[~stays]).max() <= np.abs(before[stays]).min()
            assert np.array_equal(after[stays], before[stays])

    def test_of_equal_weights_the_first_go(self, tiny, context):
        pruned = Prune(sparsity=0.25)(with_values(tiny, "4.weight", np.array(-0.5)), context)
        assert pruned.tensors["4.weight"].mask.ravel().tolist() == [False] * 18 + [True] * 54

    def test_a_layer_of_zeros_is_pruned_like_any_other(self, tiny, context):
        zeros = with_values(tiny, "2.weight", np.array(0.0))
        assert mask(Prune(sparsity=0.5)(zeros, context))["2.weight"] == 432
        assert not values(Prune(sensitivity=1.0)(zeros, context), "2.weight").any()


class TestGlobal:
    def test_weights_of_all_layers_are_ranked_together(self, tiny, context):
        scaled = tiny.with_tensors({"2.weight": Dense(values(tiny, "2.weight") / 4)})
        pruned = Prune(sparsity=864 / 1152, scope="global")(scaled, context)
        magnitudes = {name: np.abs(values(scaled, name)) for name in WEIGHTS}
        least = np.sort(np.concatenate([array.ravel() for array in magnitudes.values()]))[864]
        for name, array in magnitudes.items():
            assert np.array_equal(pruned.tensors[name].mask, array >= least)
        assert 0 < mask(pruned)["2.weight"] < 100

    def test_exactly_the_share_asked_for_goes_of_the_whole_network(self, tiny, context):
        assert sum(mask(Prune(sparsity=0.31, scope="global")(tiny, context)).values()) == 1152 - round(0.31 * 1152)

    def test_of_equal_weights_those_of_the_first_layer_go(self, tiny, context):
        equal = tiny.with_tensors({name: Dense(np.ones_like(values(tiny, name))) for name in WEIGHTS})
        pruned = Prune(sparsity=216 / 1152, scope="global")(equal, context)
        assert mask(pruned) == {"0.weight": 0, "2.weight": 864, "4.weight": 72}

    def test_all_layers_may_go_their_own_way(self, tiny, context):
        own = {name: {"sparsity": 0.5} for name in WEIGHTS}
        assert mask(Prune(sparsity=0.9, scope="global", layers=own)(tiny, context))["2.weight"] == 432


class TestSensitivity:
    def test_weights_below_that_many_standard_deviations_go(self, tiny, context):
        pruned = Prune(sensitivity=0.8)(tiny, context)
        for name in WEIGHTS:
            before = values(tiny, name).astype(np.float64)
            assert np.array_equal(pruned.tensors[name].mask, np.abs(before) >= 0.8 * np.sqrt(np.mean(before**2)))

    def test_zero_removes_nothing(self, tiny, context):
        assert sum(mask(Prune(sensitivity=0)(tiny, context)).values()) == 1152

    def test_the_deviation_is_of_the_weights_that_are_left(self, tiny, context):
        once = Prune(sparsity=0.5)(tiny, context)
        twice = Prune(sensitivity=0.8)(once, context)
        for name in WEIGHTS:
            stays = once.tensors[name].mask
            left = np.abs(values(tiny, name)[stays].astype(np.float64))
            assert np.array_equal(twice.tensors[name].mask[stays], left >= 0.8 * np.sqrt(np.mean(left**2)))


class TestBudget:
    @pytest.mark.parametrize("budget", [0, 1, 300, 1151, 1152])
    def test_exactly_so_many_weights_of_the_whole_network_stay(self, tiny, context, budget):
        assert sum(mask(Prune(kept_weights=budget, scope="global")(tiny, context)).values()) == budget

    def test_what_named_layers_keep_counts_towards_it(self, tiny, context):
        pruned = Prune(kept_weights=300, scope="global", layers={"0.weight": {"sparsity": 0}})(tiny, context)
        assert mask(pruned)["0.weight"] == 216
        assert sum(mask(pruned).values()) == 300

    def test_by_layer_every_layer_keeps_the_same_share(self, tiny, context):
        assert mask(Prune(kept_weights=576)(tiny, context)) == {"0.weight": 108, "2.weight": 432, "4.weight": 36}

    @pytest.mark.parametrize("budget", [215, 1153])
    def test_one_that_cannot_be_had_is_an_error_with_the_limits(self, tiny, context, budget):
        with pytest.raises(PassError, match=rf"kept_weights is {budget:,}; possible: 216 .* to 1,152"):
            Prune(kept_weights=budget, layers={"0.weight": {"sparsity": 0}})(tiny, context)


class TestLayers:
    def test_kernel_sizes_can_differ(self, tiny, context):
        pruned = Prune(sparsity=0.5, layers={"3x3": {"sparsity": 0.75}, "1x1": {"sparsity": 0.25}})(tiny, context)
        assert mask(pruned) == {"0.weight": 54, "2.weight": 216, "4.weight": 54}

    def test_patterns_override_by_name_and_the_last_decides(self, tiny, context):
        layers = {"?.weight": {"sparsity": 0.75}, "0.*": {"sensitivity": 0}}
        assert mask(Prune(sparsity=0.5, layers=layers)(tiny, context)) == {
            "0.weight": 216,
            "2.weight": 216,
            "4.weight": 18,
        }

    def test_a_pattern_that_names_no_layer_is_an_error_with_the_nearest(self, tiny, context):
        with pytest.raises(ConfigError, match=r"did you mean '2\.weight'"):
            Prune(sparsity=0.5, layers={"2.wieght": {"sparsity": 0}})(tiny, context)


class TestCurvature:
    def test_weights_that_cost_nothing_go_first(self, tiny, context, photos_of):
        pixels = context.calibration.pixels.copy()
        pixels[..., 2] = 128  # the mean: the third channel of the input is zero
        context = replace(context, calibration=photos_of(pixels), cache={})
        pruned = Prune(sparsity=1 / 3, criterion="curvature")(tiny, context)
        assert not pruned.tensors["0.weight"].mask[:, 2].any()
        assert pruned.tensors["0.weight"].mask[:, :2].all()

    def test_the_rank_is_the_square_of_the_weight_times_its_cost(self, tiny, context):
        pruned = Prune(sparsity=0.5, criterion="curvature")(tiny, context)
        for name, statistics in context.statistics(None).items():
            cost = (
                statistics.weight_cost().reshape(values(tiny, name).shape) * values(tiny, name).astype(np.float64) ** 2
            )
            stays = pruned.tensors[name].mask
            assert cost[~stays].max() <= cost[stays].min() * 1.0001

    def test_globally_the_costs_of_all_layers_are_ranked_together(self, tiny, context):
        pruned = Prune(kept_weights=400, scope="global", criterion="curvature")(tiny, context)
        gone, stays = [], []
        for name, statistics in context.statistics(None).items():
            cost = (
                statistics.weight_cost().reshape(values(tiny, name).shape) * values(tiny, name).astype(np.float64) ** 2
            )
            gone.append(cost[~pruned.tensors[name].mask])
            stays.append(cost[pruned.tensors[name].mask])
        assert np.concatenate(gone).max() <= np.concatenate(stays).min() * 1.0001


class TestPromises:
    def test_biases_are_never_touched(self, tiny, context):
        pruned = Prune(sparsity=1.0, scope="global")(tiny, context)
        for name in ("0.bias", "2.bias", "4.bias"):
            assert pruned.tensors[name] is tiny.tensors[name]

    def test_the_input_is_not_changed(self, tiny, context):
        before = {name: values(tiny, name).tobytes() for name in tiny.tensors}
        Prune(sparsity=0.9, criterion="curvature")(tiny, context)
        assert {name: values(tiny, name).tobytes() for name in tiny.tensors} == before

    @pytest.mark.parametrize("again", [Prune(sparsity=0.3), Prune(sensitivity=0), Prune(kept_weights=1152)])
    def test_what_was_pruned_stays_pruned_though_less_is_asked_for(self, tiny, context, again):
        once = Prune(sparsity=0.6)(tiny, context)
        twice = again(once, context)
        for name in WEIGHTS:
            assert np.array_equal(twice.tensors[name].mask, once.tensors[name].mask)

    def test_pruning_further_counts_what_is_gone_already(self, tiny, context):
        twice = Prune(sparsity=0.75)(Prune(sparsity=0.5)(tiny, context), context)
        assert mask(twice) == mask(Prune(sparsity=0.75)(tiny, context))

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_a_weight_that_is_not_finite_is_an_error_that_names_its_tensor(self, tiny, context, bad):
        weights = values(tiny, "2.weight").copy()
        weights[0, 0, 0, 0] = bad
        with pytest.raises(PassError, match=r"tensor 2\.weight: 1 weights are not finite"):
            Prune(sparsity=0.5)(tiny.with_tensors({"2.weight": Dense(weights)}), context)

    def test_weights_that_are_shared_already_are_an_error(self, tiny, context):
        with pytest.raises(PassError, match="prune first, then share"):
            Prune(sparsity=0.5)(Share()(tiny, context), context)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sparsity": 0.5, "sensitivity": 1},
        {"sparsity": 0.5, "kept_weights": 10},
        {"sparsity": 1.01},
        {"sparsity": -0.1},
        {"sparsity": float("nan")},
        {"sensitivity": -1},
        {"sensitivity": 1, "scope": "global"},
        {"kept_weights": -1},
        {"kept_weights": 10.5},
        {"sparsity": 0.5, "criterion": "luck"},
        {"sparsity": 0.5, "scope": "network"},
        {"sparsity": 0.5, "statistics_photos": 0},
        {"sparsity": 0.5, "amount": 1},
        {"sparsity": 0.5, "layers": {"3x3": {}}},
        {"sparsity": 0.5, "layers": {"3x3": {"sparsity": 0.5, "sensitivity": 1}}},
        {"sparsity": 0.5, "layers": {"3x3": {"kept_weights": 5}}},
    ],
    ids=str,
)
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ValidationError):
        Prune(**options)


class TestCompensation:
    def test_what_stays_makes_up_for_what_goes(self, tiny, context):
        plain, made_up = (
            Prune(sparsity=0.5, criterion="curvature", compensation=each)(tiny, context) for each in (False, True)
        )
        for name in WEIGHTS:
            assert np.array_equal(plain.tensors[name].mask, made_up.tensors[name].mask)
            assert not values(made_up, name)[~made_up.tensors[name].mask].any()
        assert divergence(made_up, context) < 0.7 * divergence(plain, context)

    def test_no_other_weights_in_the_same_places_have_errors_that_cost_less(self):
        random = np.random.default_rng(0)
        weights, mask = random.standard_normal((3, 6)).astype(np.float32), random.random((3, 6)) < 0.5
        root = random.standard_normal((9, 6))
        moment = root.T @ root / np.square(root).sum()
        best = compensated(weights, mask, moment).astype(np.float64)

        def cost(values):
            error = weights - values
            return np.einsum("ij,jk,ik->i", error, moment + 0.01 * np.trace(moment) / 6 * np.eye(6), error)

        for _ in range(50):
            other = best + 0.01 * np.where(mask, random.standard_normal((3, 6)), 0)
            assert (cost(other) >= cost(best) - 1e-9).all()

    @pytest.mark.parametrize("stays", [True, False])
    def test_a_row_of_which_all_or_nothing_goes_has_nothing_to_make_up(self, stays):
        weights = np.arange(1, 7, dtype=np.float32).reshape(2, 3)
        made = compensated(weights, np.full((2, 3), stays), np.eye(3) / 3)
        np.testing.assert_allclose(made, weights if stays else np.zeros((2, 3)), rtol=1e-6)

    def test_a_layer_that_never_fires_keeps_its_weights(self):
        weights, mask = np.ones((2, 3), np.float32), np.array([[True, False, True]] * 2)
        np.testing.assert_allclose(compensated(weights, mask, np.zeros((3, 3))), np.where(mask, weights, 0))
