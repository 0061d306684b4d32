"""Quantization to uniform levels, and the trade between bytes and divergence."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from divergence import divergence
from tiny_model import WEIGHTS

from compress import container
from compress.calibration.fisher_statistics import FisherStatistics
from compress.codecs.primitives.trellis import TRELLIS_4096, trellis_indices
from compress.context import Context
from compress.errors import PassError
from compress.passes import Prune, Quantize, Share
from compress.quantization.lambda_search import LambdaSearch
from compress.tensors.forms import Dense, Pruned, Shared
from compress.tensors.levels import levels_codebook, symbols_to_levels
from compress.tensors.scales import scale_of


class TestLevels:
    def test_every_weight_is_an_integer_multiple_of_its_step(self, tiny, context):
        quantized = Quantize(lambda_=1e-4)(tiny, context)
        for name in tiny.weight_names():
            tensor = quantized.tensors[name]
            assert isinstance(tensor, Shared)
            assert tensor.codebook.tolist() == levels_codebook(int(tensor.indices.max()) + 1).tolist()

    def test_the_same_seed_gives_the_same_bytes(self, tiny, context):
        once, again = (container.encode(Quantize(lambda_=1e-4)(tiny, context)) for _ in range(2))
        assert once == again

    def test_pruned_weights_stay_zero(self, tiny, context):
        pruned = Prune(sparsity=0.5)(tiny, context)
        quantized = Quantize(lambda_=1e-5)(pruned, context)
        for name in tiny.weight_names():
            balanced = quantized.reference.tensors[name]  # with its channels permuted
            assert balanced.mask.sum() == pruned.tensors[name].mask.sum()
            assert not quantized.tensors[name].to_dense()[~balanced.mask].any()

    def test_a_larger_lambda_gives_fewer_bytes_and_more_divergence(self, tiny, context):
        models = [Quantize(lambda_=lambda_)(tiny, context) for lambda_ in (1e-7, 1e-4, 1e-2)]
        sizes = [len(container.encode(model)) for model in models]
        losses = [divergence(model, context) for model in models]
        assert sizes == sorted(sizes, reverse=True)
        assert losses == sorted(losses)
        assert losses[0] < 0.001


def test_the_result_does_not_depend_on_the_memory(tiny, context, tmp_path):
    """Without memory, layers are gathered one by one, and their factors are on disk."""
    quantize = Quantize(lambda_=1e-4, sensitivity_photos=20)
    plenty, none = (quantize(tiny, replace(context, store=tmp_path / name, memory_bytes=memory_bytes))
                    for name, memory_bytes in (("plenty", 10**12), ("none", 0)))  # fmt: skip
    assert container.encode(plenty) == container.encode(none)


def test_biases_on_levels_have_one_step_and_take_fewer_bytes_than_floats(tiny, context):
    levels, floats = (
        Quantize(lambda_=1e-4, bias_precision=precision)(tiny, context) for precision in ("levels", "float16")
    )
    bias = levels.tensors["4.bias"]
    assert len(set(bias.row_exponents.tolist())) == 1
    step = float(scale_of(bias.row_exponents[:1])[0])
    assert np.abs(bias.to_dense() - tiny.tensors["4.bias"].to_dense()).max() <= 0.5001 * step
    assert context.file_bytes(levels) < context.file_bytes(floats)


def test_biases_with_a_large_offset_in_common_keep_their_differences(tiny, context):
    biases = tiny.tensors["4.bias"].to_dense() + np.float32(1e5)
    stored = Quantize(lambda_=1e-4)(tiny.with_tensors({"4.bias": Dense(biases)}), context).tensors["4.bias"]
    assert np.array_equal(stored.to_dense(), biases)


class TestSensitivity:
    def test_a_layer_that_adds_more_divergence_than_predicted_gets_more_levels(self, tiny, context, monkeypatch):
        def levels(factor):
            def contributions(*_):
                return {name: np.full(20, 0.01 * (factor if name == "2.weight" else 1)) for name in tiny.weight_names()}

            monkeypatch.setattr(FisherStatistics, "layer_contributions", contributions)
            return len(Quantize(lambda_=1e-4)(tiny, context).tensors["2.weight"].codebook)

        assert levels(3.0) > levels(0.3)

    def test_changes_of_earlier_stages_are_not_quantization_errors(self, tiny, context):
        pruned = Prune(sparsity=0.5)(tiny, context)
        before, after = (
            context.fisher.layer_contributions(pruned, each, 40, context.stage_seed) for each in (pruned, tiny)
        )
        assert all(not found.any() for found in before.values())
        assert all(found.any() for found in after.values())

    def test_the_number_of_sensitivity_photos_is_an_option(self, tiny, context):
        reported = []

        @contextmanager
        def progress(task, total):
            reported.append((task, total))
            yield lambda count: None

        for photos in (0, 40, 1000):
            Quantize(lambda_=1e-4, sensitivity_photos=photos)(tiny, replace(context, progress=progress))
        assert [total for task, total in reported if "sensitivity" in task] == [40, 60]


class TestTrellis:
    def test_levels_follow_the_trellis_if_the_file_may_use_context(self, tiny, context):
        for codecs, follows in ((("context",), True), (("huffman",), False)):
            quantized = Quantize(lambda_=1e-4)(tiny, replace(context, codecs=codecs))
            for name in tiny.weight_names():
                indices = quantized.tensors[name].indices
                levels = symbols_to_levels(indices).reshape(len(indices), -1)
                assert (trellis_indices(levels, TRELLIS_4096) is not None) == follows


class TestKernelTransform:
    def test_coefficients_are_quantized_if_the_file_may_use_context(self, tiny, context):
        for codecs, kernel_transform, coefficients in (
            (("context",), None, True),
            (("huffman",), None, False),
            (("context",), False, False),
            (("huffman",), True, True),
        ):
            quantized = Quantize(lambda_=1e-4, kernel_transform=kernel_transform)(tiny, replace(context, codecs=codecs))
            found = [name for name in WEIGHTS if quantized.tensors[name].coefficient_exponents is not None]
            assert found == (["0.weight", "2.weight"] if coefficients else [])  # the last layer has 1x1 kernels

    def test_kernels_pruned_in_part_keep_weights_and_zeros(self, tiny, context):
        values = tiny.tensors["2.weight"].to_dense()
        for gone, coefficients in ((np.s_[0, 0, 0, 0], False), (np.s_[0, 0], True)):
            mask = np.ones(values.shape, np.bool_)
            mask[gone] = False
            pruned = tiny.with_tensors({"2.weight": Pruned(np.where(mask, values, np.float32(0)), mask)})
            quantized = Quantize(lambda_=1e-4)(pruned, context)
            found, balanced = quantized.tensors["2.weight"], quantized.reference.tensors["2.weight"]
            assert (found.coefficient_exponents is not None) == coefficients
            assert (~balanced.mask).sum() == (~mask).sum()
            assert not found.to_dense()[~balanced.mask].any()


class TestBytes:
    def test_the_file_is_filled(self, tiny, context):
        for file_bytes in (1_000, 700):
            quantized = Quantize(bytes=file_bytes)(tiny, context)
            assert 0.98 * file_bytes <= context.file_bytes(quantized) <= file_bytes

    def test_a_network_whose_classes_are_almost_equally_probable_fills_the_file(self, tiny, patchwork):
        last = {
            name: Dense(tensor.to_dense() * np.float32(1e-4)) for name, tensor in tiny.tensors.items() if name[0] == "4"
        }
        unsure = tiny.with_tensors(last)
        context = Context(unsure, patchwork(60))
        assert 0.98 * 1_000 <= context.file_bytes(Quantize(bytes=1_000)(unsure, context)) <= 1_000

    def test_the_first_quantization_may_fill_less_and_the_last_begins_along_the_coarse_trellis(
        self, tiny, context, monkeypatch
    ):
        fills = []

        class Search(LambdaSearch):
            def __init__(self, max_bytes, first, min_fill, weights):
                super().__init__(max_bytes, first, min_fill, weights)
                fills.append(min_fill)

        monkeypatch.setattr("compress.passes.network_compression.LambdaSearch", Search)
        Quantize(bytes=1_000)(tiny, context)
        Quantize(bytes=1_000, sensitivity_photos=0)(tiny, context)
        Quantize(bytes=1_000, sensitivity_photos=0, trellis=False)(tiny, context)
        first, coarse, last = 0.99, 0.9994, 0.998
        assert fills == [first, coarse, last, coarse, last, last]

    def test_bytes_take_a_unit(self):
        assert Quantize(bytes="0.5 MB").bytes == 500_000

    def test_a_size_that_no_lambda_reaches_is_an_error(self, tiny, context):
        with pytest.raises(PassError, match="no lambda makes the file as small as 100 bytes"):
            Quantize(bytes=100)(tiny, context)

    @pytest.mark.parametrize("options", [{}, {"bytes": 1000, "lambda_": 1e-4}])
    def test_neither_and_both_of_bytes_and_lambda_are_refused(self, options):
        with pytest.raises(ValueError, match="give either lambda or bytes"):
            Quantize(**options)


def test_a_lambda_that_needs_too_many_levels_is_refused(tiny, context):
    with pytest.raises(PassError, match="take a larger lambda"):
        Quantize(lambda_=1e-30)(tiny, context)


def test_on_a_real_network_it_beats_weight_sharing_in_bytes_and_divergence(squeezenet, real_context):
    # The trellis and statistics of single rows take minutes, and each iteration seconds.
    quick = {"trellis": False, "row_block_memory": 20_000_000, "iterations": 1}
    quantized = Quantize(lambda_=2e-7, **quick)(squeezenet, real_context)
    shared = Share(bits=4)(squeezenet, real_context)
    assert real_context.file_bytes(quantized) < 0.8 * real_context.file_bytes(shared)
    assert divergence(quantized, real_context) < 0.1 * divergence(shared, real_context)
