"""What the error of each layer is, and what it costs."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from compress.networks.modules import NETWORKS
from compress.passes import Prune
from compress.pipeline.layer_errors import measure_layer_errors


def test_the_relative_error_of_pruning_is_the_square_of_the_pruned_weights(tiny, context):
    pruned = Prune(sparsity=0.5)(tiny, context)
    errors = measure_layer_errors(pruned, tiny, context)
    assert list(errors) == tiny.weight_names()
    for name, error in errors.items():
        before, after = (model.tensors[name].to_dense() for model in (tiny, pruned))
        assert error.relative_error == pytest.approx((before[after == 0] ** 2).sum() / (before**2).sum(), rel=1e-5)


def test_an_error_costs_more_the_larger_it_is_and_none_costs_nothing(tiny, context):
    def cost(factor):
        name = tiny.weight_names()[-1]
        tensor = tiny.tensors[name]
        changed = tiny.with_tensors({name: replace(tensor, values=(tensor.values * np.float32(factor)))})
        return measure_layer_errors(changed, tiny, context)[name].divergence_nats

    assert cost(1) == 0
    assert 0 < cost(0.95) < cost(0.9)


def test_a_network_without_gradients_and_a_run_without_photos_have_no_costs(tiny, context, monkeypatch):
    empty = replace(context.calibration, pixels=context.calibration.pixels[:0], labels=None, names=())
    assert measure_layer_errors(tiny, tiny, replace(context, calibration=empty)) == {}

    class NoGradients(torch.nn.Sequential):
        @torch.no_grad()
        def forward(self, inputs):
            return super().forward(inputs)

    plain = NETWORKS["tiny"]
    monkeypatch.setitem(NETWORKS, "tiny", lambda classes: NoGradients(*plain(classes)))
    assert measure_layer_errors(tiny, tiny, context) == {}
