"""What each layer's errors add to the divergence, and what it corrects."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from compress.calibration.layer_sensitivity import corrections, divergence, parts_of_layers
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
    wanted, stored = (dict(network.named_parameters()) for network in networks)
    return {name: (stored[name] - wanted[name]).detach() for name in NAMES}


def parts(networks, photos, size):
    return parts_of_layers(networks[1], networks[0], errors(networks), photos.split(size), lambda count: None)


def test_the_parts_of_all_layers_sum_to_the_divergence(networks):
    reference, compressed = networks
    photos = torch.randn(40, 3, 8, 8).double()
    total = sum(found.mean() for found in parts(networks, photos, 20).values())
    assert total == pytest.approx(divergence(compressed(photos), reference(photos)).item(), rel=0.05)


def test_twice_a_part_is_what_the_divergence_rises_by_with_the_layers_error(networks):
    reference, compressed = networks
    photos = torch.randn(40, 3, 8, 8).double()
    for name, (part,) in parts(networks, photos, 40).items():
        weight, wanted = dict(compressed.named_parameters())[name], dict(reference.named_parameters())[name]
        error, measured = (weight - wanted).detach(), []
        for times in (1.01, 0.99):
            with torch.no_grad():
                weight.copy_(wanted + times * error)
            measured.append(divergence(compressed(photos), reference(photos)).item())
        with torch.no_grad():
            weight.copy_(wanted + error)
        assert part == pytest.approx((measured[0] - measured[1]) / 0.02 / 2, rel=0.02)


def test_each_batch_gives_an_estimate_of_its_own(networks):
    photos = torch.randn(40, 3, 8, 8).double()
    halves, (first, second) = parts(networks, photos, 20), (parts(networks, photos[at:][:20], 20) for at in (0, 20))
    for name in NAMES:
        np.testing.assert_allclose(halves[name], [first[name][0], second[name][0]], rtol=1e-5)


def test_measuring_changes_no_weight_and_leaves_no_gradient(networks):
    before = [weight.detach().clone() for weight in networks[1].parameters()]
    parts(networks, torch.randn(4, 3, 8, 8).double(), 2)
    for weight, was in zip(networks[1].parameters(), before, strict=True):
        assert torch.equal(weight, was)
        assert weight.grad is None


def test_without_photos_there_is_nothing_to_measure(networks):
    with pytest.raises(DataError, match="at least one photo"):
        parts_of_layers(networks[1], networks[0], errors(networks), [], lambda count: None)


class TestCorrections:
    def test_a_sure_measurement_is_believed(self):
        found = {"a": np.full(20, 6.0), "b": np.full(20, 2.0)}
        assert corrections(found, {"a": 2.0, "b": 2.0}) == pytest.approx({"a": 1.5, "b": 0.5})

    def test_a_doubtful_one_changes_little(self):
        found = {"a": np.full(20, 30.0), "b": np.array([-9.0, 11.0] * 10)}
        assert corrections(found, {"a": 10.0, "b": 1.0})["b"] == pytest.approx(1.0, abs=0.1)

    def test_one_estimate_alone_says_nothing_of_how_sure_it_is(self):
        assert corrections({"a": np.array([3.0]), "b": np.array([1.0])}, {"a": 2.0, "b": 2.0}) == {"a": 1.0, "b": 1.0}

    @pytest.mark.parametrize(("measured", "factor"), [(1000.0, 4.0), (-1.0, 0.25)])
    def test_a_layer_is_never_far_from_the_others(self, measured, factor):
        found = {"a": np.full(20, measured), "b": np.full(20, 1e6)}
        assert corrections(found, {"a": 1.0, "b": 1e6})["a"] == factor

    @pytest.mark.parametrize(("measured", "predicted"), [(0.0, 1.0), (1.0, 0.0), (-1.0, 1.0)])
    def test_nothing_is_corrected_where_nothing_was_predicted_or_measured(self, measured, predicted):
        assert corrections({"a": np.full(9, measured)}, {"a": predicted}) == {"a": 1.0}
