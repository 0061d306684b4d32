"""Uniform levels: what a weight becomes, and what the slope trades."""

from __future__ import annotations

import numpy as np
import pytest
from divergence import divergence

from compress import container
from compress.calibration import LayerStatistics
from compress.errors import PassError
from compress.passes import Prune, Quantize, Share
from compress.passes.quantize import on_levels, step_exponents
from compress.tensors import Dense, Shared, levels_codebook, scale_of


@pytest.mark.parametrize("sequential", [True, False])
class TestLevels:
    def test_every_weight_is_a_whole_number_of_steps(self, tiny, context, sequential):
        quantized = Quantize(slope=1e-4, sequential=sequential)(tiny, context)
        for name in tiny.weight_names():
            tensor = quantized.tensors[name]
            assert isinstance(tensor, Shared)
            assert tensor.codebook.tolist() == levels_codebook(int(tensor.indices.max()) + 1).tolist()

    def test_the_same_seed_gives_the_same_bytes(self, tiny, context, sequential):
        once, again = (container.encode(Quantize(slope=1e-4, sequential=sequential)(tiny, context)) for _ in range(2))
        assert once == again

    def test_pruned_weights_stay_zero(self, tiny, context, sequential):
        pruned = Prune(sparsity=0.5)(tiny, context)
        quantized = Quantize(slope=1e-5, sequential=sequential)(pruned, context)
        for name in tiny.weight_names():
            assert not quantized.tensors[name].to_dense()[~pruned.tensors[name].kept].any()

    def test_a_larger_slope_gives_fewer_bytes_and_more_divergence(self, tiny, context, sequential):
        models = [Quantize(slope=slope, sequential=sequential)(tiny, context) for slope in (1e-6, 1e-4, 1e-2)]
        sizes = [len(container.encode(model)) for model in models]
        losses = [divergence(model, context) for model in models]
        assert sizes == sorted(sizes, reverse=True)
        assert losses == sorted(losses)
        assert losses[0] < 0.001

    def test_a_weight_that_is_not_finite_is_an_error_that_names_its_tensor(self, tiny, context, sequential):
        values = np.array(tiny.tensors["2.weight"].to_dense())
        values[0] = np.nan
        with pytest.raises(PassError, match=r"2\.weight.*not finite"):
            Quantize(sequential=sequential)(tiny.with_tensors({"2.weight": Dense(values)}), context)

    def test_weights_that_are_shared_already_are_refused(self, tiny, context, sequential):
        with pytest.raises(PassError, match="takes plain weights"):
            Quantize(sequential=sequential)(Share(bits=4)(tiny, context), context)


def test_layers_that_make_up_for_those_before_them_lose_less(tiny, context):
    apart, sequential = (divergence(Quantize(slope=3e-3, sequential=each)(tiny, context), context) for each in (0, 1))
    assert sequential < 0.9 * apart


def test_biases_are_corrected_at_their_precision(tiny, context):
    quantized = Quantize(slope=1e-3)(tiny, context)
    for name in ("0.bias", "2.bias", "4.bias"):
        assert quantized.tensors[name].stored_as == "float16"
        assert (quantized.tensors[name].to_dense() != tiny.tensors[name].to_dense()).any()


def test_a_step_costs_what_its_bits_save(tiny, context):
    """At high rate an error's variance is step ** 2 / 12, and a bit less doubles the step."""
    found: LayerStatistics = context.statistics(None)["2.weight"]
    remaining = np.diag(found.feedback()) ** -2.0
    rows, columns = step_exponents(found.output_cost, found.feedback(), (12, 8, 3, 3), slope=1e-5)
    steps = np.add.outer(rows.astype(int), np.repeat(columns, 9).astype(int))
    saved_by_a_bit = np.log(2) * np.outer(found.output_cost, remaining) * scale_of(steps) ** 2 / 12
    # Rows and columns are each rounded by up to an eighth of an octave; the kernel's nine positions share a step.
    assert np.median(saved_by_a_bit) == pytest.approx(1e-5, rel=0.2)


def test_a_codebook_is_one_of_levels_up_to_the_largest_in_use():
    levels = np.array([[[[-2]], [[0]], [[3]]]], np.int32)
    shared = on_levels(levels, np.zeros(1, np.int8), np.zeros(3, np.int8))
    assert shared.codebook.tolist() == [0, 1, -1, 2, -2, 3]
    assert shared.to_dense().ravel().tolist() == [-2, 0, 3]


def test_a_slope_that_needs_too_many_levels_is_refused(tiny, context):
    with pytest.raises(PassError, match="take a larger slope"):
        Quantize(slope=1e-30, sequential=False)(tiny, context)


def test_on_the_real_network_fewer_bytes_than_plain_weight_sharing_lose_less(squeezenet, real_context):
    quantized = Quantize(slope=3e-7, sequential=False)(squeezenet, real_context)
    shared = Share(bits=4)(squeezenet, real_context)
    assert len(container.encode(quantized)) < 0.8 * len(container.encode(shared))
    assert divergence(quantized, real_context) < 0.1 * divergence(shared, real_context)
