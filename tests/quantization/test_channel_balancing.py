"""Channels scaled and put into an order: the same outputs, for fewer bytes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from compress.calibration.layer_sensitivity import divergence
from compress.calibration.layer_statistics import reordered_factor
from compress.networks.channel_graph import Link, links
from compress.networks.equalization import input_orders
from compress.networks.modules import to_module
from compress.passes import Distill, Prune, Quantize
from compress.quantization.channel_balancing import with_channels_moved
from compress.quantization.layer_quantizer import Layer
from compress.quantization.step_sizes import relative_steps
from compress.tensors.forms import Pruned


def layers_of(model, context):
    layers = {}
    for name, found in context.row_statistics(None).items():
        values = model.tensors[name].to_dense()
        factors, coupling = found.row_feedback(0.5, 0.01), found.coupling(0.5)
        mask = np.ones(values.shape, np.bool_)
        layers[name] = Layer(name, values, mask, found.output_cost, factors, coupling, False, found.bias_cost)
    return layers


def outputs(model, context):
    with torch.no_grad():
        return to_module(model)(context.inputs(np.arange(20)))


@pytest.fixture
def moved(tiny, context):
    return with_channels_moved(tiny, layers_of(tiny, context), links(to_module(tiny)))


class TestMovedChannels:
    def test_outputs_are_the_same_and_rows_that_are_read_on_ask_for_one_step(self, tiny, context, moved):
        model, layers = moved
        torch.testing.assert_close(outputs(model, context), outputs(tiny, context), rtol=1e-4, atol=1e-5)
        for name in ("0.weight", "2.weight"):
            steps = relative_steps(*layers[name].costs).mean(1)
            np.testing.assert_allclose(steps, steps[0], atol=1e-5)
            assert np.ptp(relative_steps(*layers_of(tiny, context)[name].costs).mean(1)) > 0.1

    def test_steps_grow_from_one_channel_to_the_next_where_it_is_read(self, tiny, context, moved):
        def rising(layers):
            steps = relative_steps(*layers["4.weight"].costs).mean(0)
            return spearmanr(steps, np.arange(len(steps))).statistic

        assert rising(moved[1]) > 0.9
        assert rising(layers_of(tiny, context)) < 0.5

    def test_what_errors_cost_is_told_of_the_moved_weights(self, tiny, context):
        """The same relative error costs the same in the network as it is now and in the one before."""
        # How rows go together is told of weights whitened along their order, and not quite the same in another one.
        before = {name: replace(layer, coupling=None) for name, layer in layers_of(tiny, context).items()}
        wanted = {name: layer.divergence(layer.values * np.float32(0.9)) for name, layer in before.items()}
        _, after = with_channels_moved(tiny, before, links(to_module(tiny)))
        for name, layer in after.items():
            np.testing.assert_allclose(layer.divergence(layer.values * np.float32(0.9)), wanted[name], rtol=1e-3)

    def test_pruned_weights_stay_pruned(self, tiny, context):
        pruned = Prune(sparsity=0.5)(tiny, context)
        layers = layers_of(pruned, context)
        layers = {name: replace(layer, mask=pruned.tensors[name].mask) for name, layer in layers.items()}
        model, _ = with_channels_moved(pruned, layers, links(to_module(pruned)))
        torch.testing.assert_close(outputs(model, context), outputs(pruned, context), rtol=1e-4, atol=1e-5)
        for name in pruned.weight_names():
            tensor = model.tensors[name]
            assert isinstance(tensor, Pruned)
            assert tensor.mask.sum() == pruned.tensors[name].mask.sum()
            assert (tensor.to_dense()[~tensor.mask] == 0).all()

    def test_rows_of_a_file_have_one_exponent_but_in_the_last_layer(self, tiny, context):
        quantized = Quantize(slope=1e-4)(tiny, context)
        for name in ("0.weight", "2.weight"):
            assert len(set(quantized.tensors[name].row_exponents.tolist())) == 1

    def test_where_channels_cannot_be_told_apart_all_stays_as_it_is(self, tiny, context):
        layers = layers_of(tiny, context)
        model, same = with_channels_moved(tiny, layers, ())
        for name, layer in layers.items():
            np.testing.assert_array_equal(model.tensors[name].to_dense(), tiny.tensors[name].to_dense())
            np.testing.assert_array_equal(same[name].output_cost, layer.output_cost)

    def test_rows_that_share_a_factor_or_read_channels_of_their_own_stay_where_they_are(self, tiny, context):
        found = links(to_module(tiny))
        in_groups = layers_of(tiny, context)
        in_groups["0.weight"] = replace(in_groups["0.weight"], factors=in_groups["0.weight"].factors[::2].copy())
        for layers, of_network in (
            (in_groups, found),
            (layers_of(tiny, context), [replace(link, grouped=link.writer == "0.weight") for link in found]),
        ):
            model, _ = with_channels_moved(tiny, layers, of_network)
            ratio = model.tensors["0.weight"].to_dense() / tiny.tensors["0.weight"].to_dense()
            np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1, :1, :1], ratio.shape), rtol=1e-5)
            moved = model.tensors["2.weight"].to_dense() / tiny.tensors["2.weight"].to_dense()
            assert np.ptp(moved, axis=(1, 2, 3)).max() > 1  # its rows change places all the same


class TestOrigin:
    def test_it_is_the_float_network_with_the_channels_of_the_quantized_one(self, tiny, context):
        quantized = Quantize(slope=1e-6)(tiny, context)
        torch.testing.assert_close(outputs(quantized.origin, context), outputs(tiny, context), rtol=1e-4, atol=1e-5)
        for name in tiny.weight_names():
            values, wanted = quantized.tensors[name].to_dense(), quantized.origin.tensors[name].to_dense()
            assert np.square(values - wanted).sum() < 0.1 * np.square(wanted).sum()

    def test_blocks_learn_from_it(self, tiny, context):
        quantized = Quantize(slope=1e-5, biases="float32")(tiny, context)
        lost, wanted = [], outputs(tiny, context)
        for reference in (quantized.origin, tiny):
            distill = Distill(steps=40, batch=20, match="blocks", learning_rate=1.0)
            trained = distill(quantized, replace(context, reference=reference))
            lost.append(float(divergence(outputs(trained, context), wanted)))
        assert lost[0] < 0.5 * lost[1]


class TestOrders:
    def test_a_reader_follows_the_channels_of_each_writer(self):
        weights = {"a": np.zeros((2, 3)), "b": np.zeros((3, 3)), "c": np.zeros((1, 5))}
        found = (Link("a", "c", 0, True), Link("b", "c", 2, True))
        orders = {"a": np.array([1, 0]), "b": np.array([2, 0, 1])}
        assert input_orders(weights, found, orders)["c"].tolist() == [1, 0, 4, 2, 3]

    def test_a_factor_is_that_of_the_moment_in_the_same_order(self):
        half = np.random.default_rng(0).standard_normal((6, 9))
        moment, order = half @ half.T, np.array([3, 1, 5, 0, 2, 4])

        def factor(of):
            return np.linalg.cholesky(np.linalg.inv(of)).T

        np.testing.assert_allclose(reordered_factor(factor(moment), order), factor(moment[order][:, order]), atol=1e-9)

    def test_a_convolution_in_groups_is_told(self):
        network = nn.Sequential(nn.Conv2d(4, 4, 1, groups=2), nn.ReLU(), nn.Conv2d(4, 2, 1))
        assert links(network) == (Link("0.weight", "2.weight", 0, True, grouped=True),)
