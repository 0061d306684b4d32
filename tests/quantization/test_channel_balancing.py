"""Channel balancing: the same outputs, and fewer bytes for step sizes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from divergence import outputs
from scipy.stats import spearmanr
from torch import nn

from compress.calibration.layer_statistics import permute_inverse_cholesky
from compress.networks.channel_graph import ChannelLink, channel_links
from compress.networks.equalization import input_permutations
from compress.networks.modules import to_module
from compress.passes import Prune, Quantize
from compress.quantization.channel_balancing import balance_channels
from compress.quantization.layer_quantizer import LayerQuantizer
from compress.tensors.forms import Pruned


def layers_of(model, context):
    layers = {}
    for name, found in context.fisher.row_statistics(None).items():
        values = model.tensors[name].to_dense()
        factors = found.row_inverse_cholesky(0.5, 0.01), found.correlation_inverse_cholesky(0.5)
        mask = np.ones(values.shape, np.bool_)
        layers[name] = LayerQuantizer(name, values, mask, found.row_fisher, *factors, bias_fisher=found.bias_fisher)
    return layers


def assert_same_outputs(model, other, context):
    expected = outputs(other, context).logits
    np.testing.assert_allclose(outputs(model, context).logits, expected, rtol=1e-4, atol=1e-5)


@pytest.fixture
def balanced(tiny, context):
    return balance_channels(tiny, layers_of(tiny, context), channel_links(to_module(tiny)))


class TestBalancedChannels:
    def test_outputs_are_the_same_and_linked_rows_have_one_step(self, tiny, context, balanced):
        model, layers = balanced
        assert_same_outputs(model, tiny, context)
        for name in ("0.weight", "2.weight"):
            steps = layers[name].relative_steps.mean(1)
            np.testing.assert_allclose(steps, steps[0], atol=1e-5)
            assert np.ptp(layers_of(tiny, context)[name].relative_steps.mean(1)) > 0.1

    def test_steps_of_the_reading_columns_ascend(self, tiny, context, balanced):
        def rising(layers):
            steps = layers["4.weight"].relative_steps.mean(0)
            return spearmanr(steps, np.arange(len(steps))).statistic

        assert rising(balanced[1]) > 0.9
        assert rising(layers_of(tiny, context)) < 0.5

    def test_equal_relative_errors_have_equal_predicted_divergence(self, tiny, context):
        # The correlation factor applies to weights whitened in their order, so a new order changes its cost slightly.
        before = {name: replace(layer, correlation_factor=None) for name, layer in layers_of(tiny, context).items()}
        expected = {name: layer.predicted_divergence(layer.weights * np.float32(0.9)) for name, layer in before.items()}
        _, after = balance_channels(tiny, before, channel_links(to_module(tiny)))
        for name, layer in after.items():
            divergence = layer.predicted_divergence(layer.weights * np.float32(0.9))
            np.testing.assert_allclose(divergence, expected[name], rtol=1e-3)

    def test_pruned_weights_stay_pruned(self, tiny, context):
        pruned = Prune(sparsity=0.5)(tiny, context)
        layers = layers_of(pruned, context)
        layers = {name: replace(layer, mask=pruned.tensors[name].mask) for name, layer in layers.items()}
        model, _ = balance_channels(pruned, layers, channel_links(to_module(pruned)))
        assert_same_outputs(model, pruned, context)
        for name in pruned.weight_names():
            tensor = model.tensors[name]
            assert isinstance(tensor, Pruned)
            assert tensor.mask.sum() == pruned.tensors[name].mask.sum()
            assert (tensor.to_dense()[~tensor.mask] == 0).all()

    def test_all_rows_but_those_of_the_last_layer_have_one_exponent(self, tiny, context):
        quantized = Quantize(lambda_=1e-4)(tiny, context)
        for name in ("0.weight", "2.weight"):
            assert len(set(quantized.tensors[name].row_exponents.tolist())) == 1

    def test_channels_without_links_stay_as_they_are(self, tiny, context):
        layers = layers_of(tiny, context)
        model, same = balance_channels(tiny, layers, ())
        for name, layer in layers.items():
            np.testing.assert_array_equal(model.tensors[name].to_dense(), tiny.tensors[name].to_dense())
            np.testing.assert_array_equal(same[name].row_fisher, layer.row_fisher)

    def test_rows_that_share_a_factor_or_are_read_in_groups_are_not_permuted(self, tiny, context):
        links = channel_links(to_module(tiny))
        shared = layers_of(tiny, context)
        factors = shared["0.weight"].inverse_cholesky[::2].copy()
        shared["0.weight"] = replace(shared["0.weight"], inverse_cholesky=factors)
        for layers, tested_links in (
            (shared, links),
            (layers_of(tiny, context), [replace(link, grouped=link.writer == "0.weight") for link in links]),
        ):
            model, _ = balance_channels(tiny, layers, tested_links)
            ratio = model.tensors["0.weight"].to_dense() / tiny.tensors["0.weight"].to_dense()
            np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1, :1, :1], ratio.shape), rtol=1e-5)
            permuted = model.tensors["2.weight"].to_dense() / tiny.tensors["2.weight"].to_dense()
            assert np.ptp(permuted, axis=(1, 2, 3)).max() > 1


class TestReference:
    def test_the_reference_is_the_float_network_with_balanced_channels(self, tiny, context):
        quantized = Quantize(lambda_=1e-6)(tiny, context)
        assert_same_outputs(quantized.reference, tiny, context)
        for name in tiny.weight_names():
            values, expected = quantized.tensors[name].to_dense(), quantized.reference.tensors[name].to_dense()
            assert np.square(values - expected).sum() < 0.1 * np.square(expected).sum()


class TestPermutations:
    def test_a_reader_follows_the_channels_of_each_writer(self):
        weights = {"a": np.zeros((2, 3)), "b": np.zeros((3, 3)), "c": np.zeros((1, 5))}
        links = (ChannelLink("a", "c", 0, True), ChannelLink("b", "c", 2, True))
        permutations = {"a": np.array([1, 0]), "b": np.array([2, 0, 1])}
        assert input_permutations(weights, links, permutations)["c"].tolist() == [1, 0, 4, 2, 3]

    def test_a_permuted_factor_is_the_factor_of_the_permuted_matrix(self):
        half = np.random.default_rng(0).standard_normal((6, 9))
        matrix, order = half @ half.T, np.array([3, 1, 5, 0, 2, 4])

        def factor(values):
            return np.linalg.cholesky(np.linalg.inv(values)).T

        permuted = permute_inverse_cholesky(factor(matrix), order)
        np.testing.assert_allclose(permuted, factor(matrix[order][:, order]), atol=1e-9)

    def test_links_from_a_grouped_convolution_are_marked(self):
        network = nn.Sequential(nn.Conv2d(4, 4, 1, groups=2), nn.ReLU(), nn.Conv2d(4, 2, 1))
        assert channel_links(network) == (ChannelLink("0.weight", "2.weight", 0, True, grouped=True),)
