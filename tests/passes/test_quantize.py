"""Quantization to uniform levels, and the trade between bytes and divergence."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from divergence import divergence

from compress import container
from compress.calibration.fisher_statistics import FisherStatistics
from compress.calibration.layer_statistics import LayerStatistics
from compress.calibration.packed_triangular import packed
from compress.codecs import CODECS
from compress.codecs.primitives.trellis import NO_TRELLIS, TRELLIS_4096, follows_trellis
from compress.errors import PassError
from compress.passes import Prune, Quantize, Share
from compress.quantization.lambda_search import LambdaSearch
from compress.quantization.layer_quantizer import LayerQuantizer, quantize_biases, shared_levels
from compress.quantization.step_sizes import noise_to_signal, relative_steps, step_exponents
from compress.tensors.forms import Dense, Pruned, Shared
from compress.tensors.levels import levels_codebook, symbols_to_levels
from compress.tensors.scales import scale_of

WEIGHTS = ("0.weight", "2.weight", "4.weight")


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

    def test_a_weight_that_is_not_finite_is_an_error_that_names_the_tensor(self, tiny, context):
        values = np.array(tiny.tensors["2.weight"].to_dense())
        values[0] = np.nan
        with pytest.raises(PassError, match=r"2\.weight.*not finite"):
            Quantize(lambda_=1e-4)(tiny.with_tensors({"2.weight": Dense(values)}), context)

    def test_weights_that_are_shared_already_are_refused(self, tiny, context):
        with pytest.raises(PassError, match="takes plain weights"):
            Quantize(lambda_=1e-4)(Share(bits=4)(tiny, context), context)


def test_biases_on_levels_have_one_step_and_take_fewer_bytes_than_floats(tiny, context):
    levels, floats = (
        Quantize(lambda_=1e-4, bias_precision=precision)(tiny, context) for precision in ("levels", "float16")
    )
    bias = levels.tensors["4.bias"]
    assert len(set(bias.row_exponents.tolist())) == 1
    step = float(scale_of(bias.row_exponents[:1])[0])
    assert np.abs(bias.to_dense() - tiny.tensors["4.bias"].to_dense()).max() <= 0.5001 * step
    assert context.file_bytes(levels) < context.file_bytes(floats)


def test_bias_errors_cost_about_what_their_bits_save(tiny, context):
    lambda_ = 1e-4
    biases = {
        bias: quantize_biases(
            tiny.tensors[bias].to_dense(), context.fisher.layer_statistics(None)[weight].bias_fisher, lambda_
        )
        for weight, bias in tiny.bias_names().items()
    }
    count = sum(tensor.indices.size for tensor in biases.values())
    assert 0.2 * count * lambda_ < divergence(tiny.with_tensors(biases), context) < 2 * count * lambda_


def test_errors_cost_what_their_bits_save(tiny, context):
    """At high rate the variance of errors is step ** 2 / 12, and one bit less doubles the step."""
    found: LayerStatistics = context.fisher.layer_statistics(None)["2.weight"]
    diagonal = np.diag(found.inverse_cholesky())[None]
    relative = relative_steps(found.row_fisher, diagonal)
    rows, columns, _ = step_exponents(relative, (12, 8, 3, 3), 1e-5)
    steps = np.add.outer(rows.astype(int), np.repeat(columns, 9).astype(int))
    saved_by_a_bit = np.log(2) * np.outer(found.row_fisher, diagonal**-2.0) * scale_of(steps) ** 2 / 12
    # Exponents of rows and columns are rounded by up to an eighth of an octave. The nine taps of a kernel share a step.
    assert np.median(saved_by_a_bit) == pytest.approx(1e-5, rel=0.2)


class TestSteps:
    def test_if_rows_are_equal_few_columns_change_their_step_at_one_lambda(self):
        """Otherwise the bytes of a layer would jump at some values of lambda."""

        def exponents(lambda_):
            rows, columns, _ = step_exponents(relative_steps(np.full(8, 0.01), np.ones((1, 100))), (8, 100), lambda_)
            assert len(set(rows.tolist())) == 1
            return rows[0] + columns.astype(int)

        changed = [int((exponents(1e-5 * 1.02 ** (n + 1)) != exponents(1e-5 * 1.02**n)).sum()) for n in range(35)]
        assert sum(changed) == pytest.approx(200, abs=15)  # four times lambda is four exponents
        assert max(changed) < 15
        assert all((np.diff(exponents(1e-5 * 1.02**n)) >= 0).all() for n in range(35))

    def test_each_row_takes_the_nearest_exponent(self):
        costs = 0.01 * 4.0 ** np.arange(6)
        rows, columns, _ = step_exponents(relative_steps(costs, np.ones((1, 8))), (6, 8), 1e-5)
        wanted = 2 * np.log2(12 / np.log(2) * 1e-5 / costs)
        assert rows.tolist() == np.rint(wanted).tolist()
        # The rounding error is the same in all rows, so the columns absorb it.
        assert (rows[:, None] + columns).mean() == pytest.approx(wanted.mean(), abs=0.5 / 8)

    def test_damping_limits_the_noise_to_the_cost_of_zero_weights(self):
        values = np.full((2, 5), 0.1, np.float32)
        found = LayerStatistics(np.eye(5) / 5, np.array([1e-3, 1e-1]))
        cost_of_zero = found.row_fisher / 5 * 0.01 / 2  # of one weight
        noise = noise_to_signal(values, found, lambda_=2e-6)
        np.testing.assert_allclose(noise, 2e-6 / (2 * np.log(2)) / cost_of_zero, rtol=1e-6)

    def test_the_predicted_divergence_is_the_quadratic_form_of_the_statistics(self):
        random = np.random.default_rng(0)
        roots = random.standard_normal((2, 9, 4))
        own = np.einsum("gij,gik->gjk", roots, roots)
        own /= np.trace(own, axis1=1, axis2=2)[:, None, None]
        found = LayerStatistics(own.mean(0), random.random(5), row_blocks=packed(own.astype(np.float32)))
        values, stored = random.standard_normal((2, 5, 4)).astype(np.float32)
        layer = LayerQuantizer(
            "a", values, np.ones((5, 4), np.bool_), found.row_fisher, found.row_inverse_cholesky(1.0, 1e-9)
        )
        error = (values - stored).astype(np.float64)
        wanted = sum(
            found.row_fisher[row] * error[row] @ own[group] @ error[row] / 2
            for row, group in enumerate([0, 0, 0, 1, 1])
        )
        assert layer.predicted_divergence(stored) == pytest.approx(wanted, rel=1e-3)
        assert replace(layer, row_fisher=3 * layer.row_fisher).predicted_divergence(stored) == pytest.approx(
            3 * wanted, rel=1e-3
        )

    def test_the_predicted_divergence_includes_row_correlation(self):
        random = np.random.default_rng(0)
        between = np.array([[1, -0.6, 0.2], [-0.6, 1, 0.4], [0.2, 0.4, 1]], np.float32)
        found = LayerStatistics(np.eye(4) / 4, random.random(3), row_correlation=between)
        values, stored = random.standard_normal((2, 3, 4)).astype(np.float32)
        layer = LayerQuantizer(
            "a",
            values,
            np.ones((3, 4), np.bool_),
            found.row_fisher,
            found.row_inverse_cholesky(0, 0.0),
            found.correlation_inverse_cholesky(0.5),
        )
        believed, roots = 0.5 * between + 0.5 * np.eye(3), np.sqrt(found.row_fisher)
        error = (values - stored) * roots[:, None]
        wanted = sum(column @ believed @ column for column in error.T) / 4 / 2
        assert layer.predicted_divergence(stored) == pytest.approx(wanted, rel=1e-5)


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
                assert follows_trellis(levels, TRELLIS_4096) == follows

    def test_on_a_real_layer_it_lowers_the_divergence_at_equal_bytes(self, squeezenet, real_context):
        name = "features.9.expand3x3.weight"
        weights, found = squeezenet.tensors[name].to_dense(), real_context.fisher.layer_statistics(None)[name]
        layer = LayerQuantizer(
            name, weights, np.ones(weights.shape, np.bool_), found.row_fisher, found.row_inverse_cholesky(0)
        )

        def cost_at_no_bits(lambda_, trellis):
            """Return the cost of the errors, scaled to zero bits by a factor of 4 per bit."""
            shared = layer.quantize(lambda_, trellis, iterations=3)
            error = (shared.to_dense() - weights).reshape(len(weights), -1).astype(np.float64)
            cost = found.row_fisher @ np.einsum("ij,jk,ik->i", error, found.input_factor, error)
            return cost * 4 ** (8 * len(CODECS["context"].encode(shared.indices)) / weights.size)

        lambdas = (1e-7, 2e-8, 5e-9)
        plain, along_trellis = (
            np.array([cost_at_no_bits(lambda_, trellis) for lambda_ in lambdas])
            for trellis in (NO_TRELLIS, TRELLIS_4096)
        )
        assert (along_trellis < 0.89 * plain).all()


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
            found = Quantize(lambda_=1e-4)(pruned, context).tensors["2.weight"]
            assert (found.coefficient_exponents is not None) == coefficients
            assert not found.to_dense()[~mask].any()

    def test_the_predicted_divergence_is_the_quadratic_form_of_weights(self):
        random = np.random.default_rng(0)
        root = random.standard_normal((18, 18))
        found = LayerStatistics(root @ root.T / np.trace(root @ root.T), random.random(4))
        values, stored = random.standard_normal((2, 4, 2, 3, 3)).astype(np.float32)
        factors = found.row_inverse_cholesky(0, 0.1, kernel_transform=True)
        layer = LayerQuantizer(
            "a", values, np.ones(values.shape, np.bool_), found.row_fisher, factors, kernel_transform=True
        )
        error = (values - stored).reshape(4, 18).astype(np.float64)
        damped = found.input_factor + 0.1 / 18 * np.eye(18)
        wanted = 0.5 * found.row_fisher @ np.einsum("ij,jk,ik->i", error, damped, error)
        assert layer.predicted_divergence(stored) == pytest.approx(wanted, rel=1e-5)

    def test_on_a_real_layer_it_lowers_the_rate_distortion_cost(self, squeezenet, real_context):
        name = "features.12.expand3x3.weight"
        weights, found = squeezenet.tensors[name].to_dense(), real_context.fisher.layer_statistics(None)[name]

        def bytes_and_errors(kernel_transform):
            """Return the rate-distortion cost in bytes."""
            factors, mask = (
                found.row_inverse_cholesky(0, kernel_transform=kernel_transform),
                np.ones(weights.shape, np.bool_),
            )
            layer = LayerQuantizer(name, weights, mask, found.row_fisher, factors, kernel_transform=kernel_transform)
            shared = layer.quantize(2e-7, TRELLIS_4096, iterations=3)
            return (
                len(CODECS["context"].encode(shared.indices)) + layer.predicted_divergence(shared.to_dense()) / 2e-7 / 8
            )

        assert bytes_and_errors(kernel_transform=True) < 0.9 * bytes_and_errors(kernel_transform=False)


class TestBytes:
    def test_the_file_is_filled(self, tiny, context):
        for file_bytes in (1_000, 700):
            quantized = Quantize(bytes=file_bytes)(tiny, context)
            assert 0.98 * file_bytes <= context.file_bytes(quantized) <= file_bytes

    def test_the_first_quantization_may_fill_less_of_the_file(self, tiny, context, monkeypatch):
        fills = []

        class Search(LambdaSearch):
            def __init__(self, max_bytes, first, min_fill):
                super().__init__(max_bytes, first, min_fill)
                fills.append(min_fill)

        monkeypatch.setattr("compress.passes.quantize.LambdaSearch", Search)
        Quantize(bytes=1_000)(tiny, context)
        Quantize(bytes=1_000, sensitivity_photos=0)(tiny, context)
        assert fills == [0.99, 0.998, 0.998]

    def test_bytes_take_a_unit(self):
        assert Quantize(bytes="0.5 MB").bytes == 500_000

    def test_a_size_that_no_lambda_reaches_is_an_error(self, tiny, context):
        with pytest.raises(PassError, match="no lambda makes the file as small as 100 bytes"):
            Quantize(bytes=100)(tiny, context)

    @pytest.mark.parametrize("options", [{}, {"bytes": 1000, "lambda_": 1e-4}])
    def test_neither_and_both_of_bytes_and_lambda_are_refused(self, options):
        with pytest.raises(ValueError, match="give either lambda or bytes"):
            Quantize(**options)


def test_a_codebook_of_levels_ends_at_the_largest_level_in_use():
    levels = np.array([[[[-2]], [[0]], [[3]]]], np.int32)
    shared = shared_levels(levels, np.zeros(1, np.int8), np.zeros(3, np.int8))
    assert shared.codebook.tolist() == [0, 1, -1, 2, -2, 3]
    assert shared.to_dense().ravel().tolist() == [-2, 0, 3]


def test_a_lambda_that_needs_too_many_levels_is_refused(tiny, context):
    with pytest.raises(PassError, match="take a larger lambda"):
        Quantize(lambda_=1e-30)(tiny, context)


def test_on_a_real_network_it_beats_weight_sharing_in_bytes_and_divergence(squeezenet, real_context):
    quantized = Quantize(lambda_=2e-7, trellis=False)(squeezenet, real_context)  # the trellis takes minutes
    shared = Share(bits=4)(squeezenet, real_context)
    assert real_context.file_bytes(quantized) < 0.8 * real_context.file_bytes(shared)
    assert divergence(quantized, real_context) < 0.1 * divergence(shared, real_context)
