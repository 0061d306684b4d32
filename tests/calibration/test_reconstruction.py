"""What a layer should compute instead, once the layers before it are in error."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from compress.calibration.reconstruction import collect_pairs, layers_by_input
from compress.errors import DataError
from compress.networks.modules import build


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 4, 1)).eval()


@pytest.fixture
def photos() -> list[torch.Tensor]:
    return [torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(n)) + 1 for n in range(3)]


def test_layers_with_one_input_come_together_in_the_order_they_run():
    groups = layers_by_input(build("squeezenet1_1", 10), torch.zeros(1, 3, 64, 64))
    assert groups[:3] == [["features.0"], ["features.3.squeeze"], ["features.3.expand1x1", "features.3.expand3x3"]]
    assert groups[-1] == ["classifier.1"]
    assert sum(map(len, groups)) == 26


def test_where_nothing_is_in_error_the_weights_are_the_float_ones(photos):
    same = network(0)
    pairs = collect_pairs(same, same, ["2"], photos)["2"]
    weights = same[2].weight.detach().numpy().reshape(4, 5).astype(np.float64)
    np.testing.assert_allclose(pairs.target(weights, 0.01), weights, atol=1e-6)
    np.testing.assert_allclose(pairs.bias(weights, np.ones(4), weights), np.ones(4), atol=1e-6)


def test_an_error_that_one_layer_can_undo_is_undone(photos):
    reference, compressed = network(0), network(0)
    with torch.no_grad():
        compressed[0].weight *= 2  # twice the activations: half the weights bring the outputs back
        compressed[0].bias *= 2
    weights = reference[2].weight.detach().numpy().reshape(4, 5).astype(np.float64)
    pairs = collect_pairs(reference, compressed, ["2"], photos)["2"]
    np.testing.assert_allclose(pairs.target(weights, 1e-9), weights / 2, rtol=1e-4)


def test_the_bias_makes_up_for_what_the_stored_weights_lose_on_average(photos):
    reference, compressed = network(0), network(1)
    bias = reference[2].bias.detach().numpy().astype(np.float64)
    weights = reference[2].weight.detach().numpy().reshape(4, 5).astype(np.float64)
    pairs = collect_pairs(reference, compressed, ["2"], photos)["2"]
    stored = np.round(weights, 1)
    with torch.no_grad():
        compressed[2].weight.copy_(torch.from_numpy(stored.reshape(4, 5, 1, 1)))
        compressed[2].bias.copy_(torch.from_numpy(pairs.bias(weights, bias, stored)))
        means = [torch.cat([net(batch) for batch in photos]).mean((0, 2, 3)) for net in (reference, compressed)]
    torch.testing.assert_close(*means, atol=1e-5, rtol=1e-4)


def test_a_layer_that_never_fires_keeps_its_weights(photos):
    silent = network(0)
    with torch.no_grad():
        silent[0].weight.zero_()
        silent[0].bias.fill_(-1)
    weights = np.arange(20.0).reshape(4, 5)
    pairs = collect_pairs(silent, silent, ["2"], photos)["2"]
    np.testing.assert_allclose(pairs.target(weights, 0.01), weights)


def test_without_photos_there_are_no_statistics():
    with pytest.raises(DataError, match="at least one photo"):
        collect_pairs(network(0), network(0), ["2"], [])
