"""The contribution of each layer's error to the divergence, and the corrections from it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from compress.calibration.layer_sensitivity import divergence, layer_contributions, sensitivity_corrections
from compress.errors import DataError

NAMES = ("0.weight", "2.weight", "6.weight")


@pytest.fixture
def networks():
    def network():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(8, 5),
        )  # fmt: skip

    reference, compressed = network(), network()
    with torch.no_grad():
        for name in NAMES:
            weight = compressed.get_parameter(name)
            weight.add_(0.003 * torch.randn(weight.shape))
    return reference.double(), compressed.double()


def errors(networks):
    exact, stored = (dict(network.named_parameters()) for network in networks)
    return {name: (stored[name] - exact[name]).detach() for name in NAMES}


def contributions(networks, photos, batch, **options):
    batches = photos.split(batch)
    return layer_contributions(networks[1], networks[0], errors(networks), batches, lambda count: None, **options)


def test_the_contributions_of_all_layers_add_up_to_the_divergence(networks):
    reference, compressed = networks
    photos = torch.randn(40, 3, 8, 8).double()
    total = sum(measured.mean() for measured in contributions(networks, photos, 20).values())
    assert total == pytest.approx(divergence(compressed(photos), reference(photos)).item(), rel=0.05)


def test_twice_a_contribution_is_the_derivative_by_the_size_of_the_layers_error(networks):
    reference, compressed = networks
    photos = torch.randn(40, 3, 8, 8).double()
    for name, (contribution,) in contributions(networks, photos, 40).items():
        weight, exact = dict(compressed.named_parameters())[name], dict(reference.named_parameters())[name]
        error, measured = (weight - exact).detach(), []
        for factor in (1.01, 0.99):
            with torch.no_grad():
                weight.copy_(exact + factor * error)
            measured.append(divergence(compressed(photos), reference(photos)).item())
        with torch.no_grad():
            weight.copy_(exact + error)
        assert contribution == pytest.approx((measured[0] - measured[1]) / 0.02 / 2, rel=0.02)


def test_each_batch_gives_one_estimate(networks):
    photos = torch.randn(40, 3, 8, 8).double()
    halves = contributions(networks, photos, 20)
    first, second = (contributions(networks, photos[start:][:20], 20) for start in (0, 20))
    for name in NAMES:
        np.testing.assert_allclose(halves[name], [first[name][0], second[name][0]], rtol=1e-5)


def test_a_batch_in_several_passes_gives_the_same_estimate(networks):
    photos = torch.randn(20, 3, 8, 8).double()
    whole, in_passes = (contributions(networks, photos, 20, pass_photos=count) for count in (20, 7))
    for name in NAMES:
        np.testing.assert_allclose(in_passes[name], whole[name], rtol=1e-9)


def test_measuring_changes_no_weight_and_leaves_no_gradient(networks):
    before = [weight.detach().clone() for weight in networks[1].parameters()]
    contributions(networks, torch.randn(4, 3, 8, 8).double(), 2)
    for weight, was in zip(networks[1].parameters(), before, strict=True):
        assert torch.equal(weight, was)
        assert weight.grad is None


def test_no_photos_is_an_error(networks):
    with pytest.raises(DataError, match="without photos; add calibration photos"):
        layer_contributions(networks[1], networks[0], errors(networks), [], lambda count: None)


class TestCorrections:
    def test_a_certain_measurement_counts_fully(self):
        measured = {"a": np.full(20, 6.0), "b": np.full(20, 2.0)}
        assert sensitivity_corrections(measured, {"a": 2.0, "b": 2.0}) == pytest.approx({"a": 1.5, "b": 0.5})

    def test_an_uncertain_measurement_changes_little(self):
        measured = {"a": np.full(20, 30.0), "b": np.array([-9.0, 11.0] * 10)}
        assert sensitivity_corrections(measured, {"a": 10.0, "b": 1.0})["b"] == pytest.approx(1.0, abs=0.1)

    def test_a_single_estimate_corrects_nothing(self):
        assert sensitivity_corrections({"a": np.array([3.0]), "b": np.array([1.0])}, {"a": 2.0, "b": 2.0}) == {
            "a": 1.0,
            "b": 1.0,
        }

    @pytest.mark.parametrize(("contribution", "factor"), [(1000.0, 4.0), (-1.0, 0.25)])
    def test_a_correction_is_at_most_a_factor_of_four(self, contribution, factor):
        measured = {"a": np.full(20, contribution), "b": np.full(20, 1e6)}
        assert sensitivity_corrections(measured, {"a": 1.0, "b": 1e6})["a"] == factor

    @pytest.mark.parametrize(("measured", "predicted"), [(0.0, 1.0), (1.0, 0.0), (-1.0, 1.0)])
    def test_nothing_is_corrected_without_a_positive_total(self, measured, predicted):
        assert sensitivity_corrections({"a": np.full(9, measured)}, {"a": predicted}) == {"a": 1.0}
