from __future__ import annotations

import numpy as np
import pytest
import torch
from own_networks import medley
from torch import nn

from compress.calibration.fisher import Batch, collect
from compress.calibration.packed_triangular import symmetric
from compress.data.transforms import to_input
from compress.errors import DataError
from compress.evaluation.metrics import Outputs, divergences
from compress.networks.layer_calls import weights_of_layers
from compress.networks.modules import to_module

SEED = 5


class OverWords(nn.Module):
    """A linear layer at every position of a sequence, as in a transformer, then one on the mean."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(7, 6)
        self.last = nn.Linear(6, 4)

    def forward(self, x):
        return self.last(self.first(x).relu().mean(1))


NETWORKS = {
    "3x3, stride, padding, dilation, 1x1": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 5, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(5, 6, (3, 2), dilation=(1, 2)),
            nn.ReLU(),
            nn.Conv2d(6, 4, 1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        ),
        (3, 11, 11),
    ),
    "1x1 with stride": (
        lambda: nn.Sequential(nn.Conv2d(3, 5, 1, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 9, 4)),
        (3, 5, 5),
    ),
    "linear": (lambda: nn.Sequential(nn.Linear(7, 6), nn.ReLU(), nn.Linear(6, 4)), (7,)),
    "linear over a sequence": (OverWords, (5, 7)),
    "changed in place": (
        lambda: nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(inplace=True), nn.Conv2d(5, 4, 1), nn.Tanh(), nn.Flatten()),
        (3, 4, 3),
    ),
    "whatever else layers can be": (medley, (3, 9, 12)),
}


def statistics_of(network, photos, batch=100, advance=lambda count: None, own=False):
    batches = (Batch(len(some), some) for some in photos.split(batch))
    generator = torch.Generator().manual_seed(SEED)
    return collect(network.eval(), batches, generator, advance, own=own)


def slowly(network, photos):
    """The Fisher information of each row, of each bias and between rows, photo by photo, by torch's own gradients."""
    weights = weights_of_layers(network).values()
    parameters = {name: part for name, part in network.named_parameters() if name in weights or name.endswith("bias")}
    own, biases = dict.fromkeys(weights, 0.0), {name: 0.0 for name in parameters if name.endswith("bias")}
    between = dict.fromkeys(weights, 0.0)
    drawn = torch.randn(len(photos), network(photos[:1]).shape[1], generator=torch.Generator().manual_seed(SEED))
    for photo, normal in zip(photos, drawn, strict=True):
        logits = network(photo[None])[0]
        p = logits.softmax(0).detach()
        # The Fisher information of the softmax, diag(p) - p p^T, as the square of a matrix with one row a class.
        direction = normal @ (torch.diag(p.sqrt()) - torch.outer(p.sqrt(), p))
        gradients = torch.autograd.grad(logits @ direction, parameters.values(), materialize_grads=True)
        for name, gradient in zip(parameters, gradients, strict=True):
            rows = gradient.flatten(1 if name in own else 0).double().numpy()
            if name in own:
                own[name] += np.einsum("ij,ik->ijk", rows, rows) / len(photos)
                between[name] += rows @ rows.T / len(photos)
            else:
                biases[name] += np.square(rows) / len(photos)
    return {name: found for name, found in own.items() if not name.startswith("never")}, biases, between


def of_classes(network, photos, last):
    """What photos say of each class: of the gradient of its logit, as far as they resemble it."""
    weight, found = network.get_parameter(last), 0.0
    for photo in photos:
        logits = network(photo[None])[0]
        p = (logits / 2.5).softmax(0).detach().double().numpy()
        gradients = [torch.autograd.grad(logit, weight, retain_graph=True)[0][row] for row, logit in enumerate(logits)]
        rows = torch.stack(gradients).flatten(1).double().numpy()
        found += np.einsum("i,ij,ik->ijk", p * (1 - p), rows, rows) / len(photos)
    return found


def at_least_a_twentieth(cost):
    return np.maximum(cost, 0.05 * cost.mean())


@pytest.mark.parametrize("kind", NETWORKS)
def test_statistics_are_those_of_a_slow_computation_photo_by_photo(kind):
    make, shape = NETWORKS[kind]
    network, photos = make(), torch.randn(9, *shape)
    statistics = statistics_of(network, photos, own=True)
    own, biases, between = slowly(network, photos)
    assert list(statistics) == list(own)
    last = list(own)[-1]
    for name, moments in own.items():
        got = statistics[name]
        cost = np.trace(moments, axis1=1, axis2=2)
        if name == last and kind != "changed in place":  # whose logits are more than the rows
            moments = of_classes(network, photos, last)  # noqa: PLW2901
        traces = np.trace(moments, axis1=1, axis2=2)
        moment = moments.sum(0) / traces.sum()
        np.testing.assert_allclose(got.moment, moment, rtol=1e-3, atol=1e-4 * np.abs(moment).max())
        assert np.trace(got.moment) == pytest.approx(1)
        bias = biases.get(name.replace("weight", "bias"))
        for found, information in ((got.output_cost, cost), (got.bias_cost, bias)):
            if information is None:
                continue
            pooled = np.full_like(information, information.mean())
            np.testing.assert_allclose(found, pooled if name == last else at_least_a_twentieth(information), rtol=1e-3)
        np.testing.assert_allclose(symmetric(got.own), moments / traces[:, None, None], rtol=1e-3, atol=1e-4)
        if got.between is not None:
            deviation = np.sqrt(np.diag(between[name]))
            np.testing.assert_allclose(got.between, between[name] / np.outer(deviation, deviation), atol=1e-4)
    assert any(statistics[name].between is not None for name in list(own)[:-1])
    assert statistics[last].between is None


def test_what_is_said_of_a_class_is_not_left_to_a_draw():
    network, photos = NETWORKS["linear"][0]().eval(), torch.randn(9, 7)
    one, another = (
        collect(network, [Batch(9, photos)], torch.Generator().manual_seed(seed), lambda count: None, own=True)
        for seed in (1, 2)
    )
    np.testing.assert_array_equal(one["2.weight"].own, another["2.weight"].own)
    assert np.abs(one["0.weight"].own - another["0.weight"].own).max() > 0.01


def test_photos_tell_something_of_all_classes_that_they_resemble():
    network = nn.Sequential(nn.Linear(2, 3, bias=False)).eval()
    network[0].weight.data = torch.tensor([[10.0, 0.0], [0.0, 10.0], [7.0, 0.0]])
    own = statistics_of(network, torch.eye(2), own=True)["0.weight"].own
    # p of the third class is 16.44 / (54.6 + 1 + 16.44) on the first photo and 1 / (1 + 54.6 + 1) on the second: a
    # tenth of what is said of it comes from a photo of another class.
    np.testing.assert_allclose(symmetric(own[2]), np.diag([0.9103, 0.0897]), atol=1e-4)


def test_classes_too_many_for_memory_are_put_into_groups_of_neighbours(monkeypatch):
    monkeypatch.setattr("compress.calibration.fisher._MOST_OWN_ENTRIES", 40 * 7**2)
    network, photos = nn.Sequential(nn.Linear(7, 90)).eval(), torch.randn(9, 7)
    own, moments = statistics_of(network, photos, own=True)["0.weight"].own, of_classes(network, photos, "0.weight")
    groups = np.arange(90) * 40 // 90
    assert len(np.unique(groups)) == len(own) == 40
    for group, found in enumerate(symmetric(own)):
        wanted = moments[groups == group].sum(0)
        np.testing.assert_allclose(found, wanted / np.trace(wanted), rtol=1e-3, atol=1e-4)


def test_the_rows_own_statistics_are_gathered_on_request_alone():
    network, photos = NETWORKS["1x1 with stride"][0](), torch.randn(9, 3, 5, 5)
    assert all(layer.own is layer.between is None for layer in statistics_of(network, photos).values())


def test_rows_that_read_other_channels_and_more_than_256_are_not_coupled():
    network = nn.Sequential(
        nn.Conv2d(4, 8, 1, groups=2), nn.Conv2d(8, 257, 1), nn.Conv2d(257, 5, 1), nn.Conv2d(5, 3, 1), nn.Flatten()
    )
    statistics = statistics_of(network, torch.randn(9, 4, 1, 1), own=True)
    assert [name for name, layer in statistics.items() if layer.between is not None] == ["2.weight"]


def test_a_row_that_never_fires_goes_with_no_other():
    network = nn.Sequential(nn.Linear(7, 6), nn.ReLU(), nn.Linear(6, 4))
    with torch.no_grad():
        network[0].bias[2] = -1000.0
    between = statistics_of(network, torch.randn(20, 7), own=True)["0.weight"].between
    np.testing.assert_array_equal(between[2], np.eye(6, dtype=np.float32)[2])


def test_gathering_changes_no_weight_and_leaves_no_hook_or_gradient():
    network, photos = NETWORKS["linear"][0](), torch.randn(9, 7)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    statistics_of(network, photos)
    for parameter, was in zip(network.parameters(), before, strict=True):
        assert torch.equal(parameter, was)
        assert parameter.grad is None
    assert not any(module._forward_hooks for module in network.modules())


def test_progress_counts_photos():
    counts = []
    statistics_of(NETWORKS["linear"][0](), torch.randn(9, 7), batch=4, advance=counts.append)
    assert counts == [4, 4, 1]


@pytest.mark.parametrize("own", [False, True])
def test_a_photo_that_counts_three_times_is_as_good_as_three(own, monkeypatch):
    """But for the directions drawn: here they are the same for the three."""
    network, photos = NETWORKS["linear"][0]().eval(), torch.randn(4, 7)
    thrice = torch.cat([photos, photos[:1], photos[:1]])
    drawn = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    drawn[4:] = drawn[0]
    monkeypatch.setattr(torch, "randn", lambda shape, generator: drawn[: shape[0]])
    weights = torch.tensor([3.0, 1.0, 1.0, 1.0], dtype=torch.float64)
    counted, repeated = (
        collect(network, [batch], torch.Generator(), lambda count: None, own=own)
        for batch in (Batch(4, photos, weights), Batch(6, thrice))
    )
    for name, wanted in repeated.items():
        for part, value in vars(wanted).items():
            if value is None:
                assert getattr(counted[name], part) is None
            else:
                np.testing.assert_allclose(getattr(counted[name], part), value, rtol=1e-4, atol=1e-7)


def test_no_photos_are_an_error():
    with pytest.raises(DataError, match="at least one photo"):
        collect(NETWORKS["linear"][0](), iter(()), torch.Generator(), lambda count: None)


def test_the_classifiers_rows_all_cost_the_same():
    make, shape = NETWORKS["linear"]
    statistics = statistics_of(make(), torch.randn(9, *shape))
    assert np.ptp(statistics["2.weight"].output_cost) == 0
    assert np.ptp(statistics["0.weight"].output_cost) > 0


def test_a_row_that_never_mattered_still_costs_a_twentieth_of_the_mean():
    network = nn.Sequential(nn.Linear(7, 6), nn.ReLU(), nn.Linear(6, 4))
    with torch.no_grad():
        network[0].bias[2] = -1000.0
    cost = statistics_of(network, torch.randn(20, 7))["0.weight"].output_cost
    others = np.delete(cost, 2)
    assert cost[2] == pytest.approx(0.05 * others.sum() / 6)


def test_constant_photos_whose_moment_is_singular_give_a_finite_factor():
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for statistics in statistics_of(network, torch.full((4, 3, 8, 8), 0.7)).values():
        assert np.linalg.matrix_rank(statistics.moment, rtol=1e-5) <= 1
        factor = statistics.feedback()
        assert np.isfinite(factor).all()
        assert (np.diag(factor) > 0).all()


def test_a_layer_that_never_fires_gives_finite_statistics():
    network = nn.Sequential(nn.Linear(7, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4))
    with torch.no_grad():
        network[0].bias.fill_(-1000)
    statistics = statistics_of(network, torch.randn(9, 7))
    assert not statistics["2.weight"].moment.any()
    for layer in statistics.values():
        assert np.isfinite(layer.output_cost).all()
        assert np.isfinite(layer.feedback()).all()


@pytest.mark.parametrize("name", ["0.weight", "2.weight", "4.weight"])
def test_the_predicted_divergence_of_a_small_error_is_the_measured_one(tiny, patchwork, name):
    inputs = torch.from_numpy(to_input(patchwork(200).pixels, tiny.preprocessing))
    network = to_module(tiny)
    statistics = statistics_of(network, inputs)[name]
    weight = network.get_parameter(name)
    random = np.random.default_rng(0)
    predicted, measured = [], []
    with torch.no_grad():
        before = Outputs(network(inputs).numpy(), None)
        for _ in range(10):
            error = 0.02 * float(weight.std()) * random.standard_normal(weight.shape)
            flat = error.reshape(len(error), -1)
            predicted.append(0.5 * statistics.output_cost @ np.einsum("ij,jk,ik->i", flat, statistics.moment, flat))
            weight += torch.from_numpy(error).float()
            measured.append(divergences(Outputs(network(inputs).numpy(), None), before).mean())
            weight -= torch.from_numpy(error).float()
    assert np.mean(predicted) == pytest.approx(np.mean(measured), rel=0.5)


def test_rows_of_a_large_network_are_put_together_so_that_they_fit_into_memory(monkeypatch):
    monkeypatch.setattr("compress.calibration.fisher._MOST_ENTRIES_IN_ALL", 2000)
    monkeypatch.setattr("compress.calibration.fisher._MOST_OWN_ENTRIES", 1000)
    network = nn.Sequential(nn.Linear(7, 18), nn.ReLU(), nn.Linear(18, 30), nn.ReLU(), nn.Linear(30, 4))
    found = statistics_of(network, torch.randn(9, 7), own=True)
    own = [layer.own for layer in found.values()]
    assert own[0].shape == (10, 28)  # half of what one layer might have, so that all fit
    assert own[1] is None
    assert own[2] is None
