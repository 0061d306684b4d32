from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from divergence import divergence
from pydantic import ValidationError
from tiny_model import WEIGHTS, values

from compress.errors import ConfigError, PassError
from compress.model import Model
from compress.passes import Prune, Share
from compress.tensors.forms import Dense, Pruned


def with_values(model: Model, name: str, values: np.ndarray) -> Model:
    shape = model.tensors[name].shape
    return model.with_tensors({name: Dense(np.broadcast_to(values, shape).astype(np.float32))})


def nonzero(model):
    return {name: int(model.tensors[name].mask.sum()) for name in WEIGHTS}


class TestSparsity:
    @pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 0.77, 1.0])
    def test_every_layer_has_exactly_this_sparsity(self, tiny, context, sparsity):
        pruned = Prune(sparsity=sparsity)(tiny, context)
        for name in WEIGHTS:
            tensor = pruned.tensors[name]
            assert isinstance(tensor, Pruned)
            assert int((tensor.to_dense() == 0).sum()) == round(sparsity * tensor.mask.size)

    def test_the_smallest_weights_are_pruned_and_the_others_do_not_change(self, tiny, context):
        pruned = Prune(sparsity=0.6)(tiny, context)
        for name in WEIGHTS:
            before, after, mask = values(tiny, name), values(pruned, name), pruned.tensors[name].mask
            assert np.abs(before[~mask]).max() <= np.abs(before[mask]).min()
            assert np.array_equal(after[mask], before[mask])

    def test_of_equal_weights_the_first_are_pruned(self, tiny, context):
        pruned = Prune(sparsity=0.25)(with_values(tiny, "4.weight", np.array(-0.5)), context)
        assert pruned.tensors["4.weight"].mask.ravel().tolist() == [False] * 18 + [True] * 54

    def test_a_layer_of_zeros_is_pruned_as_any_other(self, tiny, context):
        zeros = with_values(tiny, "2.weight", np.array(0.0))
        assert nonzero(Prune(sparsity=0.5)(zeros, context))["2.weight"] == 432
        assert not values(Prune(sensitivity=1.0)(zeros, context), "2.weight").any()


class TestGlobal:
    def test_weights_of_all_layers_are_ranked_together(self, tiny, context):
        scaled = tiny.with_tensors({"2.weight": Dense(values(tiny, "2.weight") / 4)})
        pruned = Prune(sparsity=864 / 1152, scope="global")(scaled, context)
        magnitudes = {name: np.abs(values(scaled, name)) for name in WEIGHTS}
        threshold = np.sort(np.concatenate([array.ravel() for array in magnitudes.values()]))[864]
        for name, array in magnitudes.items():
            assert np.array_equal(pruned.tensors[name].mask, array >= threshold)
        assert 0 < nonzero(pruned)["2.weight"] < 100

    def test_the_network_has_exactly_this_sparsity(self, tiny, context):
        assert sum(nonzero(Prune(sparsity=0.31, scope="global")(tiny, context)).values()) == 1152 - round(0.31 * 1152)

    def test_of_equal_weights_those_of_the_first_layer_are_pruned(self, tiny, context):
        equal = tiny.with_tensors({name: Dense(np.ones_like(values(tiny, name))) for name in WEIGHTS})
        pruned = Prune(sparsity=216 / 1152, scope="global")(equal, context)
        assert nonzero(pruned) == {"0.weight": 0, "2.weight": 864, "4.weight": 72}

    def test_every_layer_may_have_its_own_sparsity(self, tiny, context):
        own = {name: {"sparsity": 0.5} for name in WEIGHTS}
        assert nonzero(Prune(sparsity=0.9, scope="global", layers=own)(tiny, context))["2.weight"] == 432


class TestSensitivity:
    def test_weights_below_this_multiple_of_the_deviation_are_pruned(self, tiny, context):
        pruned = Prune(sensitivity=0.8)(tiny, context)
        for name in WEIGHTS:
            before = values(tiny, name).astype(np.float64)
            assert np.array_equal(pruned.tensors[name].mask, np.abs(before) >= 0.8 * np.sqrt(np.mean(before**2)))

    def test_zero_prunes_nothing(self, tiny, context):
        assert sum(nonzero(Prune(sensitivity=0)(tiny, context)).values()) == 1152

    def test_the_deviation_is_that_of_the_unpruned_weights(self, tiny, context):
        once = Prune(sparsity=0.5)(tiny, context)
        twice = Prune(sensitivity=0.8)(once, context)
        for name in WEIGHTS:
            mask = once.tensors[name].mask
            unpruned = np.abs(values(tiny, name)[mask].astype(np.float64))
            assert np.array_equal(twice.tensors[name].mask[mask], unpruned >= 0.8 * np.sqrt(np.mean(unpruned**2)))


class TestNonzeroWeights:
    @pytest.mark.parametrize("budget", [0, 1, 300, 1151, 1152])
    def test_the_network_has_exactly_this_number_of_weights(self, tiny, context, budget):
        assert sum(nonzero(Prune(nonzero_weights=budget, scope="global")(tiny, context)).values()) == budget

    def test_weights_of_layers_with_their_own_amount_count(self, tiny, context):
        pruned = Prune(nonzero_weights=300, scope="global", layers={"0.weight": {"sparsity": 0}})(tiny, context)
        assert nonzero(pruned)["0.weight"] == 216
        assert sum(nonzero(pruned).values()) == 300

    def test_with_scope_layer_every_layer_has_the_same_sparsity(self, tiny, context):
        assert nonzero(Prune(nonzero_weights=576)(tiny, context)) == {"0.weight": 108, "2.weight": 432, "4.weight": 36}

    @pytest.mark.parametrize("budget", [215, 1153])
    def test_a_number_out_of_range_is_an_error_with_the_limits(self, tiny, context, budget):
        with pytest.raises(PassError, match=rf"nonzero_weights is {budget:,} \(allowed: 216, .* to 1,152\)"):
            Prune(nonzero_weights=budget, layers={"0.weight": {"sparsity": 0}})(tiny, context)


class TestLayers:
    def test_kernel_sizes_can_differ(self, tiny, context):
        pruned = Prune(sparsity=0.5, layers={"3x3": {"sparsity": 0.75}, "1x1": {"sparsity": 0.25}})(tiny, context)
        assert nonzero(pruned) == {"0.weight": 54, "2.weight": 216, "4.weight": 54}

    def test_the_last_matching_pattern_decides(self, tiny, context):
        layers = {"?.weight": {"sparsity": 0.75}, "0.*": {"sensitivity": 0}}
        assert nonzero(Prune(sparsity=0.5, layers=layers)(tiny, context)) == {
            "0.weight": 216,
            "2.weight": 216,
            "4.weight": 18,
        }

    def test_a_pattern_without_a_match_is_an_error_with_the_nearest(self, tiny, context):
        with pytest.raises(ConfigError, match=r"did you mean '2\.weight'"):
            Prune(sparsity=0.5, layers={"2.wieght": {"sparsity": 0}})(tiny, context)


def removal_costs(model, context):
    """Return the cost of the removal of each weight, by tensor name."""
    statistics = context.fisher.layer_statistics(None)
    squares = {name: values(model, name).astype(np.float64) ** 2 for name in WEIGHTS}
    return {name: statistics[name].weight_fisher().reshape(each.shape) * each for name, each in squares.items()}


class TestFisher:
    def test_weights_without_cost_are_pruned_first(self, tiny, context, photos_of):
        pixels = context.calibration.pixels.copy()
        pixels[..., 2] = 128  # the mean: the third channel of the input is zero
        context = replace(context, calibration=photos_of(pixels))
        pruned = Prune(sparsity=1 / 3, criterion="fisher")(tiny, context)
        assert not pruned.tensors["0.weight"].mask[:, 2].any()
        assert pruned.tensors["0.weight"].mask[:, :2].all()

    def test_weights_are_ranked_by_their_square_times_its_cost(self, tiny, context):
        pruned = Prune(sparsity=0.5, criterion="fisher")(tiny, context)
        for name, cost in removal_costs(tiny, context).items():
            mask = pruned.tensors[name].mask
            assert cost[~mask].max() <= cost[mask].min() * 1.0001

    def test_scope_global_ranks_the_costs_of_all_layers_together(self, tiny, context):
        pruned = Prune(nonzero_weights=400, scope="global", criterion="fisher")(tiny, context)
        pruned_costs, other_costs = [], []
        for name, cost in removal_costs(tiny, context).items():
            pruned_costs.append(cost[~pruned.tensors[name].mask])
            other_costs.append(cost[pruned.tensors[name].mask])
        assert np.concatenate(pruned_costs).max() <= np.concatenate(other_costs).min() * 1.0001


class TestInvariants:
    def test_biases_do_not_change(self, tiny, context):
        pruned = Prune(sparsity=1.0, scope="global")(tiny, context)
        for name in ("0.bias", "2.bias", "4.bias"):
            assert pruned.tensors[name] is tiny.tensors[name]

    @pytest.mark.parametrize("again", [Prune(sparsity=0.3), Prune(sensitivity=0), Prune(nonzero_weights=1152)])
    def test_pruned_weights_stay_pruned_at_a_lower_sparsity(self, tiny, context, again):
        once = Prune(sparsity=0.6)(tiny, context)
        twice = again(once, context)
        for name in WEIGHTS:
            assert np.array_equal(twice.tensors[name].mask, once.tensors[name].mask)

    def test_sparsity_includes_weights_pruned_before(self, tiny, context):
        twice = Prune(sparsity=0.75)(Prune(sparsity=0.5)(tiny, context), context)
        assert nonzero(twice) == nonzero(Prune(sparsity=0.75)(tiny, context))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sparsity": 0.5, "sensitivity": 1},
        {"sparsity": 0.5, "nonzero_weights": 10},
        {"sparsity": 1.01},
        {"sparsity": -0.1},
        {"sparsity": float("nan")},
        {"sensitivity": -1},
        {"sensitivity": 1, "scope": "global"},
        {"nonzero_weights": -1},
        {"nonzero_weights": 10.5},
        {"sparsity": 0.5, "criterion": "luck"},
        {"sparsity": 0.5, "scope": "network"},
        {"sparsity": 0.5, "statistics_photos": 0},
        {"sparsity": 0.5, "iterations": 2},
        {"sparsity": 0.5, "obs_update": True, "iterations": 0},
        {"sparsity": 0.5, "half_precision": True},
        {"sparsity": 0.5, "row_block_memory": 10**6},
        {"sensitivity": 0.5, "obs_update": True, "iterations": 2},
        {"sparsity": 0.5, "obs_update": True, "iterations": 2, "layers": {"3x3": {"sensitivity": 0.5}}},
        {"sparsity": 0.5, "amount": 1},
        {"sparsity": 0.5, "layers": {"3x3": {}}},
        {"sparsity": 0.5, "layers": {"3x3": {"sparsity": 0.5, "sensitivity": 1}}},
        {"sparsity": 0.5, "layers": {"3x3": {"nonzero_weights": 5}}},
    ],
    ids=str,
)
def test_invalid_options_are_rejected(options):
    with pytest.raises(ValidationError):
        Prune(**options)


class TestObsUpdate:
    def test_the_remaining_weights_compensate_for_the_pruned(self, tiny, context):
        plain, updated = (
            Prune(sparsity=0.5, criterion="fisher", obs_update=each)(tiny, context) for each in (False, True)
        )
        for name in WEIGHTS:
            assert np.array_equal(plain.tensors[name].mask, updated.tensors[name].mask)
            assert not values(updated, name)[~updated.tensors[name].mask].any()
        assert divergence(updated, context) < 0.7 * divergence(plain, context)

    @pytest.mark.parametrize("half_precision", [False, True])
    def test_share_reads_the_same_statistics(self, tiny, context, tmp_path, half_precision):
        stored = replace(context, store=tmp_path)
        pruned = Prune(sparsity=0.3, obs_update=True, half_precision=half_precision)(tiny, stored)
        Share(lambda_=1e-4, half_precision=half_precision, sensitivity_photos=0)(pruned, stored)
        assert len(list(tmp_path.iterdir())) == 1

    @pytest.mark.parametrize(
        "amount",
        [
            {"sparsity": 0.3},
            {"sparsity": 0.3, "scope": "global"},
            {"nonzero_weights": 200, "scope": "global", "layers": {"2.weight": {"sparsity": 0.9}}},
        ],
        ids=str,
    )
    def test_all_iterations_together_prune_the_amount(self, tiny, context, amount):
        at_once, in_steps = (Prune(obs_update=True, iterations=each, **amount)(tiny, context) for each in (1, 4))
        assert sum(nonzero(in_steps).values()) == sum(nonzero(at_once).values())
        assert any((at_once.tensors[name].mask != in_steps.tensors[name].mask).any() for name in WEIGHTS)

    def test_the_second_iteration_keeps_zeros_and_ranks_the_updated_weights(self, tiny, context):
        first = Prune(sparsity=0.2, obs_update=True)(tiny, context)
        both = Prune(sparsity=0.4, obs_update=True, iterations=2)(tiny, context)
        for name in WEIGHTS:
            magnitude, mask = np.abs(values(first, name)), both.tensors[name].mask
            assert not (mask & ~first.tensors[name].mask).any()
            assert magnitude[~mask].max() <= magnitude[mask].min()
