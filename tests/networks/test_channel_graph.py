"""Channels: who reads what, and what can go without changing any output."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from compress.networks.channel_graph import Link, dead, links
from compress.networks.equalization import equalising, scaled
from compress.networks.modules import build


class Forked(nn.Module):
    """Its first layer is read by two, whose outputs are put side by side; the last is a linear layer."""

    def __init__(self, residual: bool = False, twice: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3)
        self.left, self.right = nn.Conv2d(6, 4, 1), nn.Conv2d(6, 4, 3, padding=1)
        self.last = nn.Linear(8, 5)
        self.residual, self.twice = residual, twice

    def forward(self, x):
        x = self.first(x).relu()
        left = self.left(x).relu()
        right = torch.relu(self.right(x)) if not self.twice else self.left(x).relu()
        both = torch.cat([left + right, right] if self.residual else [left, right], 1)
        return self.last(nn.functional.adaptive_avg_pool2d(both, 1).flatten(1))


def weights_of(network):
    layers = {n: m for n, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    weights = {f"{n}.weight": m.weight.detach().numpy().copy() for n, m in layers.items()}
    return weights, {f"{n}.weight": m.bias.detach().numpy().copy() for n, m in layers.items() if m.bias is not None}


class TestLinks:
    def test_a_layer_is_read_by_all_that_take_its_channels(self):
        assert set(links(Forked())) == {
            Link("first.weight", "left.weight", 0, True),
            Link("first.weight", "right.weight", 0, True),
            Link("left.weight", "last.weight", 0, True),
            Link("right.weight", "last.weight", 4, True),
        }

    def test_in_squeezenet_every_layer_is_read_but_the_last(self):
        found = links(build("squeezenet1_1", 1000))
        writers = {link.writer for link in found}
        assert len(writers) == 25
        assert "classifier.1.weight" not in writers
        assert Link("features.3.expand3x3.weight", "features.4.squeeze.weight", 64, True) in found

    def test_a_layer_whose_channels_go_into_a_sum_has_no_link(self):
        assert {link.writer for link in links(Forked(residual=True))} == {"first.weight"}

    def test_a_layer_that_is_used_twice_has_no_link(self):
        assert {link.writer for link in links(Forked(twice=True))} == {"first.weight"}

    def test_what_has_an_upper_bound_is_not_looked_through(self):
        """Its bound would not be scaled with the channel."""
        assert not links(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU6(), nn.Conv2d(4, 2, 1)))

    def test_what_a_layer_that_is_used_twice_reads_has_no_link(self):
        class Again(nn.Module):
            def __init__(self):
                super().__init__()
                self.one, self.two, self.both = (nn.Conv2d(3, 3, 1) for _ in range(3))

            def forward(self, x):
                return self.both(self.one(x).relu()) + self.both(self.two(x).relu())

        assert links(Again()) == ()

    def test_an_operation_that_is_not_known_ends_all_links_into_it(self):
        unknown = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Softmax2d(), nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1))
        assert links(unknown) == (Link("2.weight", "4.weight", 0, True),)

    @pytest.mark.parametrize("between", [nn.BatchNorm2d(4), nn.PixelShuffle(2), nn.Conv2d(4, 4, 1, groups=2)])
    def test_what_mixes_or_shifts_channels_is_not_looked_through(self, between):
        assert not links(nn.Sequential(nn.Conv2d(3, 4, 1), between))

    def test_a_linear_layer_that_reads_several_positions_of_a_channel_is_no_link(self):
        assert not links(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(16, 2)))

    def test_a_network_whose_course_depends_on_its_input_has_none(self):
        class Fickle(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Conv2d(3, 4, 1)

            def forward(self, x):
                return self.layer(x) if x.sum() > 0 else x

        assert links(Fickle()) == ()


class TestDead:
    @pytest.fixture
    def network(self):
        torch.manual_seed(0)
        return Forked().eval()

    def check_exact(self, network, expected):
        """Setting what is dead to zero changes no output by a bit that matters; `expected` counts it."""
        weights, biases = weights_of(network)
        gone = dead(weights, biases, links(network))
        photos = torch.randn(4, 3, 9, 9)
        with torch.no_grad():
            before = network(photos)
            for name, mask in gone.items():
                network.get_parameter(name)[torch.from_numpy(mask)] = 0
            assert torch.equal(network(photos), before)
        assert {name: int(mask.sum()) for name, mask in gone.items() if mask.any()} == expected

    def test_nothing_of_a_network_that_uses_all_its_channels(self, network):
        self.check_exact(network, {})

    def test_a_channel_that_nothing_reads(self, network):
        with torch.no_grad():
            network.left.weight[:, 2] = network.right.weight[:, 2] = 0
        self.check_exact(network, {"first.weight": 27, "left.weight": 4, "right.weight": 36})

    def test_a_channel_that_one_of_two_reads_stays(self, network):
        with torch.no_grad():
            network.left.weight[:, 2] = 0
        self.check_exact(network, {})

    def test_what_reads_a_filter_that_is_always_zero(self, network):
        with torch.no_grad():
            network.right.weight[1], network.right.bias[1] = 0, -0.5
        self.check_exact(network, {"last.weight": 5, "right.weight": 54})

    def test_a_filter_of_zeros_that_gives_a_constant_stays_read(self, network):
        with torch.no_grad():
            network.right.weight[1], network.right.bias[1] = 0, 0.5
        self.check_exact(network, {})

    def test_one_thing_leads_to_another(self, network):
        with torch.no_grad():
            network.last.weight[:, :4] = 0  # nothing reads left, and so of first what right does not read
            network.right.weight[:, 5] = 0
        self.check_exact(network, {"left.weight": 24, "first.weight": 27, "right.weight": 36, "last.weight": 20})

    def test_without_a_rectifier_only_a_bias_of_zero_gives_zero(self):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)).eval()
        with torch.no_grad():
            network[0].weight[:2], network[0].bias[0], network[0].bias[1] = 0, 0, -0.5
        self.check_exact(network, {"0.weight": 3, "1.weight": 2})

    def test_a_whole_squeezenet_stays_exact(self):
        torch.manual_seed(0)
        network = build("squeezenet1_1", 10).eval()
        weights, _ = weights_of(network)
        random = np.random.default_rng(0)
        with torch.no_grad():
            for name in weights:
                parameter = network.get_parameter(name)
                for axis in (0, 1):
                    some = torch.from_numpy(random.random(parameter.shape[axis]) < 0.1)
                    parameter.index_fill_(axis, some.nonzero()[:, 0], 0)
        gone = dead(*weights_of(network), links(network))
        photos = torch.randn(2, 3, 64, 64)
        with torch.no_grad():
            before = network(photos)
            for name, mask in gone.items():
                network.get_parameter(name)[torch.from_numpy(mask)] = 0
            assert torch.equal(network(photos), before)
        assert sum(mask.any() for mask in gone.values()) > 10


class TestEqualising:
    def test_channels_are_scaled_where_they_are_written_and_back_where_they_are_read(self):
        torch.manual_seed(0)
        network = build("squeezenet1_1", 10).eval()
        with torch.no_grad():
            network.get_parameter("features.3.squeeze.weight")[3] *= 64
            network.get_parameter("features.3.expand1x1.weight")[:, 3] /= 64
            network.get_parameter("features.3.expand3x3.weight")[:, 3] /= 64
        weights, biases = weights_of(network)
        found = links(network)
        factors = equalising(weights, found)
        assert factors["features.3.squeeze.weight"][3] <= 2**-4
        made, made_biases = scaled(weights, biases, found, factors)
        photos = torch.randn(2, 3, 64, 64)
        with torch.no_grad():
            before = network(photos)
            for name, values in made.items():
                network.get_parameter(name).copy_(torch.from_numpy(values))
                network.get_parameter(name.replace("weight", "bias")).copy_(torch.from_numpy(made_biases[name]))
            torch.testing.assert_close(network(photos), before, rtol=1e-5, atol=1e-6)

        def spread(values, axis):
            sizes = np.abs(np.moveaxis(values, axis, 0)).reshape(values.shape[axis], -1).max(1)
            return sizes.max() / np.median(sizes)

        assert spread(made["features.3.squeeze.weight"], 0) < 0.3 * spread(weights["features.3.squeeze.weight"], 0)

    def test_channels_that_nobody_writes_or_reads_stay(self):
        network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1))
        with torch.no_grad():
            network[0].weight[1] = 0
            network[2].weight[:, 2] = 0
        factors = equalising(weights_of(network)[0], links(network))["0.weight"]
        assert factors[1] == factors[2] == 1
