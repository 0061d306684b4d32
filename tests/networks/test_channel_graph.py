"""Channel links, dead weights and channel equalization."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from compress.networks.channel_graph import ChannelLink, channel_links, dead_weights
from compress.networks.equalization import input_factors, scale_channels
from compress.networks.modules import builtin_network


class Forked(nn.Module):
    """Two layers read the first layer; their concatenated outputs go into a linear layer."""

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


class TestChannelLinks:
    def test_a_layer_is_linked_to_every_reader(self):
        assert set(channel_links(Forked())) == {
            ChannelLink("first.weight", "left.weight", 0, True),
            ChannelLink("first.weight", "right.weight", 0, True),
            ChannelLink("left.weight", "last.weight", 0, True),
            ChannelLink("right.weight", "last.weight", 4, True),
        }

    def test_in_squeezenet_every_layer_but_the_last_has_links(self):
        links = channel_links(builtin_network("squeezenet1_1", 1000))
        writers = {link.writer for link in links}
        assert len(writers) == 25
        assert "classifier.1.weight" not in writers
        assert ChannelLink("features.3.expand3x3.weight", "features.4.squeeze.weight", 64, True) in links

    def test_a_layer_that_a_sum_reads_has_no_links(self):
        assert {link.writer for link in channel_links(Forked(residual=True))} == {"first.weight"}

    def test_a_layer_that_runs_twice_has_no_links(self):
        assert {link.writer for link in channel_links(Forked(twice=True))} == {"first.weight"}

    def test_relu6_ends_links(self):
        """Its upper bound would not be scaled with the channel."""
        assert not channel_links(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU6(), nn.Conv2d(4, 2, 1)))

    def test_layers_that_a_layer_reads_in_different_calls_have_no_links(self):
        class Again(nn.Module):
            def __init__(self):
                super().__init__()
                self.one, self.two, self.both = (nn.Conv2d(3, 3, 1) for _ in range(3))

            def forward(self, x):
                return self.both(self.one(x).relu()) + self.both(self.two(x).relu())

        assert channel_links(Again()) == ()

    def test_an_unknown_operation_ends_all_links_into_it(self):
        unknown = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Softmax2d(), nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1))
        assert channel_links(unknown) == (ChannelLink("2.weight", "4.weight", 0, True),)

    @pytest.mark.parametrize("between", [nn.BatchNorm2d(4), nn.PixelShuffle(2), nn.Conv2d(4, 4, 1, groups=2)])
    def test_operations_that_mix_or_shift_channels_end_links(self, between):
        assert not channel_links(nn.Sequential(nn.Conv2d(3, 4, 1), between))

    def test_a_linear_layer_that_reads_several_positions_of_a_channel_has_no_links(self):
        assert not channel_links(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(16, 2)))

    def test_a_layer_that_shares_its_weight_has_no_links(self):
        network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Conv2d(3, 2, 1))
        assert {link.writer for link in channel_links(network)} == {"0.weight", "2.weight"}
        network[2].weight = network[0].weight
        assert channel_links(network) == ()

    def test_a_layer_with_a_computed_weight_has_no_links(self):
        network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 1))
        nn.utils.parametrizations.weight_norm(network[2])
        assert channel_links(network) == ()

    def test_a_network_with_data_dependent_control_flow_has_no_links(self):
        class Branching(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Conv2d(3, 4, 1)

            def forward(self, x):
                return self.layer(x) if x.sum() > 0 else x

        assert channel_links(Branching()) == ()

    @pytest.mark.parametrize("alter", ["hook", "shared bias"])
    def test_hooks_and_shared_biases_end_links(self, alter):
        network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Conv2d(3, 3, 1))
        if alter == "hook":
            network[0].register_forward_hook(lambda module, inputs, output: output + 1)
        else:
            network[2].bias = network[0].bias
        assert channel_links(network) == ()

    def test_a_linear_layer_over_the_width_has_no_links(self):
        assert not channel_links(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Linear(4, 4), nn.Conv2d(4, 2, 1)))


class TestDeadWeights:
    @pytest.fixture
    def network(self):
        torch.manual_seed(0)
        return Forked().eval()

    def check_exact(self, network, expected):
        """Check that zeroing the dead weights changes no output, and their number by tensor."""
        weights, biases = weights_of(network)
        dead = dead_weights(weights, biases, channel_links(network))
        photos = torch.randn(4, 3, 9, 9)
        with torch.no_grad():
            before = network(photos)
            for name, mask in dead.items():
                network.get_parameter(name)[torch.from_numpy(mask)] = 0
            assert torch.equal(network(photos), before)
        assert {name: int(mask.sum()) for name, mask in dead.items() if mask.any()} == expected

    def test_a_network_that_uses_all_channels_has_none(self, network):
        self.check_exact(network, {})

    def test_a_channel_without_a_reader(self, network):
        with torch.no_grad():
            network.left.weight[:, 2] = network.right.weight[:, 2] = 0
        self.check_exact(network, {"first.weight": 27, "left.weight": 4, "right.weight": 36})

    def test_a_channel_with_one_of_two_readers_is_not_dead(self, network):
        with torch.no_grad():
            network.left.weight[:, 2] = 0
        self.check_exact(network, {})

    def test_readers_of_a_channel_that_is_always_zero(self, network):
        with torch.no_grad():
            network.right.weight[1], network.right.bias[1] = 0, -0.5
        self.check_exact(network, {"last.weight": 5, "right.weight": 54})

    def test_readers_of_a_constant_channel_are_not_dead(self, network):
        with torch.no_grad():
            network.right.weight[1], network.right.bias[1] = 0, 0.5
        self.check_exact(network, {})

    def test_dead_weights_make_more_weights_dead(self, network):
        with torch.no_grad():
            network.last.weight[:, :4] = 0  # then `right` is the only reader of `first`
            network.right.weight[:, 5] = 0
        self.check_exact(network, {"left.weight": 24, "first.weight": 27, "right.weight": 36, "last.weight": 20})

    def test_without_a_relu_only_a_zero_bias_gives_zero(self):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)).eval()
        with torch.no_grad():
            network[0].weight[:2], network[0].bias[0], network[0].bias[1] = 0, 0, -0.5
        self.check_exact(network, {"0.weight": 3, "1.weight": 2})

    def test_squeezenet_outputs_do_not_change(self):
        torch.manual_seed(0)
        network = builtin_network("squeezenet1_1", 10).eval()
        weights, _ = weights_of(network)
        random = np.random.default_rng(0)
        with torch.no_grad():
            for name in weights:
                parameter = network.get_parameter(name)
                for axis in (0, 1):
                    some = torch.from_numpy(random.random(parameter.shape[axis]) < 0.1)
                    parameter.index_fill_(axis, some.nonzero()[:, 0], 0)
        dead = dead_weights(*weights_of(network), channel_links(network))
        photos = torch.randn(2, 3, 64, 64)
        with torch.no_grad():
            before = network(photos)
            for name, mask in dead.items():
                network.get_parameter(name)[torch.from_numpy(mask)] = 0
            assert torch.equal(network(photos), before)
        assert sum(mask.any() for mask in dead.values()) > 10


class TestEqualization:
    def test_scaled_channels_give_the_same_outputs(self):
        torch.manual_seed(0)
        network = builtin_network("squeezenet1_1", 10).eval()
        weights, biases = weights_of(network)
        links = channel_links(network)
        random = np.random.default_rng(0)
        factors = {link.writer: 2.0 ** random.integers(-4, 5, len(weights[link.writer])) for link in links}
        scaled, scaled_biases = scale_channels(weights, biases, factors, input_factors(weights, links, factors))
        photos = torch.randn(2, 3, 64, 64)
        with torch.no_grad():
            before = network(photos)
            for name, values in scaled.items():
                network.get_parameter(name).copy_(torch.from_numpy(values))
                network.get_parameter(name.replace("weight", "bias")).copy_(torch.from_numpy(scaled_biases[name]))
            torch.testing.assert_close(network(photos), before, rtol=1e-5, atol=1e-6)
        assert not np.array_equal(scaled["features.3.squeeze.weight"], weights["features.3.squeeze.weight"])
