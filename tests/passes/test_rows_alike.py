"""Channels scaled so that rows ask for one step: the same outputs, for fewer bytes."""

from __future__ import annotations

import numpy as np
import torch

from compress.channels import links
from compress.networks import to_module
from compress.passes import Prune, Quantize
from compress.passes.levels import Layer, relative_steps
from compress.passes.rows_alike import with_rows_alike
from compress.tensors import Pruned


def layers_of(model, context):
    layers = {}
    for name, found in context.row_statistics(None).items():
        values = model.tensors[name].to_dense()
        factors = found.row_feedback(0.5, 0.01)
        kept = np.ones(values.shape, np.bool_)
        layers[name] = Layer(name, values, kept, found.output_cost, factors, None, False, found.bias_cost)
    return layers


def outputs(model, context):
    with torch.no_grad():
        return to_module(model)(context.inputs(np.arange(20)))


class TestRowsAlike:
    def test_outputs_are_the_same_and_rows_that_are_read_on_ask_for_one_step(self, tiny, context):
        model, layers = with_rows_alike(tiny, layers_of(tiny, context), links(to_module(tiny)))
        torch.testing.assert_close(outputs(model, context), outputs(tiny, context), rtol=1e-4, atol=1e-5)
        for name in ("0.weight", "2.weight"):
            steps = relative_steps(*layers[name].costs).mean(1)
            np.testing.assert_allclose(steps, steps[0], atol=1e-5)
            assert np.ptp(relative_steps(*layers_of(tiny, context)[name].costs).mean(1)) > 0.1

    def test_what_errors_cost_is_told_of_the_scaled_weights(self, tiny, context):
        """The same relative error costs the same in the scaled network as in the one before."""
        before = layers_of(tiny, context)
        wanted = {name: layer.divergence(layer.values * np.float32(0.9)) for name, layer in before.items()}
        _, after = with_rows_alike(tiny, before, links(to_module(tiny)))
        for name, layer in after.items():
            np.testing.assert_allclose(layer.divergence(layer.values * np.float32(0.9)), wanted[name], rtol=1e-4)

    def test_pruned_weights_stay_pruned(self, tiny, context):
        pruned = Prune(sparsity=0.5)(tiny, context)
        model, _ = with_rows_alike(pruned, layers_of(pruned, context), links(to_module(pruned)))
        for name in pruned.weight_names():
            tensor = model.tensors[name]
            assert isinstance(tensor, Pruned)
            assert (tensor.kept == pruned.tensors[name].kept).all()

    def test_rows_of_a_file_have_one_exponent_but_in_the_last_layer(self, tiny, context):
        quantized = Quantize(slope=1e-4)(tiny, context)
        for name in ("0.weight", "2.weight"):
            assert len(set(quantized.tensors[name].row_exponents.tolist())) == 1

    def test_where_channels_cannot_be_told_apart_rows_keep_their_own(self, tiny, context):
        layers = layers_of(tiny, context)
        model, same = with_rows_alike(tiny, layers, ())
        for name, layer in layers.items():
            np.testing.assert_array_equal(model.tensors[name].to_dense(), tiny.tensors[name].to_dense())
            np.testing.assert_array_equal(same[name].output_cost, layer.output_cost)
