"""Uniform levels: what a weight becomes, and what the slope trades."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from divergence import divergence

from compress import container
from compress.calibration.layer_statistics import LayerStatistics
from compress.calibration.packed_triangular import packed
from compress.codecs import CODECS
from compress.codecs.primitives.trellis import MIDDLE_TRELLIS, NO_TRELLIS, TRELLIS, trellis_of
from compress.errors import PassError
from compress.passes import Prune, Quantize, Share
from compress.quantization.lambda_search import SlopeSearch
from compress.quantization.layer_quantizer import Layer, bias_on_levels, on_levels
from compress.quantization.step_sizes import noise_to_signal, step_exponents
from compress.tensors.forms import Dense, Pruned, Shared
from compress.tensors.levels import levels_codebook, zigzag_levels
from compress.tensors.scales import scale_of

WEIGHTS = ("0.weight", "2.weight", "4.weight")


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
            was = (quantized.origin or pruned).tensors[name]  # where its channels are now
            assert was.mask.sum() == pruned.tensors[name].mask.sum()
            assert not quantized.tensors[name].to_dense()[~was.mask].any()

    def test_a_larger_slope_gives_fewer_bytes_and_more_divergence(self, tiny, context, sequential):
        models = [Quantize(slope=slope, sequential=sequential)(tiny, context) for slope in (1e-7, 1e-4, 1e-2)]
        sizes = [len(container.encode(model)) for model in models]
        losses = [divergence(model, context) for model in models]
        assert sizes == sorted(sizes, reverse=True)
        assert losses == sorted(losses)
        assert losses[0] < 0.001

    def test_a_weight_that_is_not_finite_is_an_error_that_names_its_tensor(self, tiny, context, sequential):
        values = np.array(tiny.tensors["2.weight"].to_dense())
        values[0] = np.nan
        with pytest.raises(PassError, match=r"2\.weight.*not finite"):
            Quantize(slope=1e-4, sequential=sequential)(tiny.with_tensors({"2.weight": Dense(values)}), context)

    def test_weights_that_are_shared_already_are_refused(self, tiny, context, sequential):
        with pytest.raises(PassError, match="takes plain weights"):
            Quantize(slope=1e-4, sequential=sequential)(Share(bits=4)(tiny, context), context)


def test_layers_that_make_up_for_those_before_them_lose_less(tiny, context):
    apart, sequential = (divergence(Quantize(slope=3e-3, sequential=each)(tiny, context), context) for each in (0, 1))
    assert sequential < 0.9 * apart


def test_biases_are_corrected_for_the_layers_before(tiny, context):
    quantized = Quantize(slope=1e-3, sequential=True, biases="float16")(tiny, context)
    for name in ("0.bias", "2.bias", "4.bias"):
        assert quantized.tensors[name].stored_as == "float16"
        assert (quantized.tensors[name].to_dense() != tiny.tensors[name].to_dense()).any()


def test_biases_on_levels_have_one_step_and_cost_fewer_bytes_than_as_floats(tiny, context):
    levels, floats = (Quantize(slope=1e-4, biases=biases)(tiny, context) for biases in ("levels", "float16"))
    bias = levels.tensors["4.bias"]
    assert len(set(bias.row_exponents.tolist())) == 1
    step = float(scale_of(bias.row_exponents[:1])[0])
    assert np.abs(bias.to_dense() - tiny.tensors["4.bias"].to_dense()).max() <= 0.5001 * step
    assert context.file_bytes(levels) < context.file_bytes(floats)


def test_errors_of_biases_cost_about_what_their_bits_save(tiny, context):
    slope = 1e-4
    biases = {
        bias: bias_on_levels(tiny.tensors[bias].to_dense(), context.statistics(None)[weight].bias_cost, slope)
        for weight, bias in tiny.bias_names().items()
    }
    count = sum(tensor.indices.size for tensor in biases.values())
    assert 0.2 * count * slope < divergence(tiny.with_tensors(biases), context) < 2 * count * slope


def test_a_step_costs_what_its_bits_save(tiny, context):
    """At high rate an error's variance is step ** 2 / 12, and a bit less doubles the step."""
    found: LayerStatistics = context.statistics(None)["2.weight"]
    diagonal = np.diag(found.feedback())[None]
    rows, columns, _ = step_exponents(found.output_cost, diagonal, (12, 8, 3, 3), slope=1e-5)
    steps = np.add.outer(rows.astype(int), np.repeat(columns, 9).astype(int))
    saved_by_a_bit = np.log(2) * np.outer(found.output_cost, diagonal**-2.0) * scale_of(steps) ** 2 / 12
    # Rows and columns are each rounded by up to an eighth of an octave; the kernel's nine positions share a step.
    assert np.median(saved_by_a_bit) == pytest.approx(1e-5, rel=0.2)


class TestSteps:
    def test_where_rows_cost_alike_columns_change_their_steps_a_few_at_a_time(self):
        """Else the bytes of a layer would leap with the slope."""

        def exponents(slope):
            rows, columns, _ = step_exponents(np.full(8, 0.01), np.ones((1, 100)), (8, 100), slope)
            assert len(set(rows.tolist())) == 1
            return rows[0] + columns.astype(int)

        changed = [int((exponents(1e-5 * 1.02 ** (n + 1)) != exponents(1e-5 * 1.02**n)).sum()) for n in range(35)]
        assert sum(changed) == pytest.approx(200, abs=15)  # a slope four times as large is four steps of each
        assert max(changed) < 15
        assert all((np.diff(exponents(1e-5 * 1.02**n)) >= 0).all() for n in range(35))

    def test_rows_that_cost_differently_take_the_nearest_step(self):
        costs = 0.01 * 4.0 ** np.arange(6)
        rows, columns, _ = step_exponents(costs, np.ones((1, 8)), (6, 8), 1e-5)
        wanted = 2 * np.log2(12 / np.log(2) * 1e-5 / costs)
        assert rows.tolist() == np.rint(wanted).tolist()
        # What is left is the same in all rows, so the columns take it.
        assert (rows[:, None] + columns).mean() == pytest.approx(wanted.mean(), abs=0.5 / 8)

    def test_no_direction_is_served_where_leaving_the_weights_out_costs_less(self):
        values = np.full((2, 5), 0.1, np.float32)
        found = LayerStatistics(np.eye(5) / 5, np.array([1e-3, 1e-1]))
        cost_of_leaving_out = found.output_cost / 5 * 0.01 / 2  # of one weight
        noise = noise_to_signal(values, found, slope=2e-6)
        np.testing.assert_allclose(noise, 2e-6 / (2 * np.log(2)) / cost_of_leaving_out, rtol=1e-6)

    def test_what_a_layers_errors_cost_is_the_statistics_quadratic_form(self):
        random = np.random.default_rng(0)
        roots = random.standard_normal((2, 9, 4))
        own = np.einsum("gij,gik->gjk", roots, roots)
        own /= np.trace(own, axis1=1, axis2=2)[:, None, None]
        found = LayerStatistics(own.mean(0), random.random(5), own=packed(own.astype(np.float32)))
        values, stored = random.standard_normal((2, 5, 4)).astype(np.float32)
        layer = Layer("a", values, np.ones((5, 4), np.bool_), found.output_cost, found.row_feedback(1.0, 1e-9))
        error = (values - stored).astype(np.float64)
        wanted = sum(
            found.output_cost[row] * error[row] @ own[group] @ error[row] / 2
            for row, group in enumerate([0, 0, 0, 1, 1])
        )
        assert layer.divergence(stored) == pytest.approx(wanted, rel=1e-3)
        assert layer.costing(3.0).divergence(stored) == pytest.approx(3 * wanted, rel=1e-3)

    def test_errors_of_rows_that_go_together_cost_what_their_correlation_says(self):
        random = np.random.default_rng(0)
        between = np.array([[1, -0.6, 0.2], [-0.6, 1, 0.4], [0.2, 0.4, 1]], np.float32)
        found = LayerStatistics(np.eye(4) / 4, random.random(3), between=between)
        values, stored = random.standard_normal((2, 3, 4)).astype(np.float32)
        layer = Layer(
            "a", values, np.ones((3, 4), np.bool_), found.output_cost, found.row_feedback(0, 0.0), found.coupling(0.5)
        )
        believed, roots = 0.5 * between + 0.5 * np.eye(3), np.sqrt(found.output_cost)
        error = (values - stored) * roots[:, None]
        wanted = sum(column @ believed @ column for column in error.T) / 4 / 2
        assert layer.divergence(stored) == pytest.approx(wanted, rel=1e-5)


class TestMeasured:
    def test_a_layer_whose_errors_cost_more_than_was_said_gets_more_levels(self, tiny, context, monkeypatch):
        def levels(times):
            def parts(self, model, before, photos):
                return {name: np.full(20, 0.01 * (times if name == "2.weight" else 1)) for name in tiny.weight_names()}

            monkeypatch.setattr(type(context), "parts_of_layers", parts)
            return len(Quantize(slope=1e-4)(tiny, context).tensors["2.weight"].codebook)

        assert levels(3.0) > levels(0.3)

    def test_what_a_stage_before_changed_is_no_error_of_rounding(self, tiny, context):
        pruned = Prune(sparsity=0.5)(tiny, context)
        before, after = (context.parts_of_layers(pruned, each, 40) for each in (pruned, tiny))
        assert all(not found.any() for found in before.values())
        assert all(found.any() for found in after.values())

    def test_as_many_photos_as_asked_for_are_measured(self, tiny, context):
        told = []

        @contextmanager
        def progress(what, total):
            told.append((what, total))
            yield lambda count: None

        for photos in (0, 40, 1000):
            Quantize(slope=1e-4, measured_photos=photos)(tiny, replace(context, progress=progress))
        assert [total for what, total in told if "parts" in what] == [40, 60]


class TestTrellis:
    def test_levels_follow_it_where_the_file_is_coded_by_context(self, tiny, context):
        for codecs, follows in ((("context",), True), (("huffman",), False)):
            quantized = Quantize(slope=1e-4)(tiny, replace(context, codecs=codecs))
            for name in tiny.weight_names():
                indices = quantized.tensors[name].indices
                levels = zigzag_levels(indices).reshape(len(indices), -1)
                assert (trellis_of(levels) is TRELLIS) == follows

    def test_at_the_same_bytes_its_errors_cost_less_on_a_real_layer(self, squeezenet, real_context):
        name = "features.9.expand3x3.weight"
        weights, found = squeezenet.tensors[name].to_dense(), real_context.statistics(None)[name]
        layer = Layer(name, weights, np.ones(weights.shape, np.bool_), found.output_cost, found.row_feedback(0))

        def cost_at_no_bits(slope, along):
            """Its errors' cost, and what it would be with all bits taken away at a factor of 4 a bit."""
            shared = layer.on_levels(slope, along, iterations=3)
            error = (shared.to_dense() - weights).reshape(len(weights), -1).astype(np.float64)
            cost = found.output_cost @ np.einsum("ij,jk,ik->i", error, found.moment, error)
            return cost * 4 ** (8 * len(CODECS["context"].encode(shared.indices)) / weights.size)

        slopes = (1e-7, 2e-8, 5e-9)
        none, middle, large = (
            np.array([cost_at_no_bits(slope, along) for slope in slopes])
            for along in (NO_TRELLIS, MIDDLE_TRELLIS, TRELLIS)
        )
        assert (middle < 0.9 * none).all()
        assert (large / middle).mean() < 0.995  # 0.983 at high rate; one draw is good to 0.005


class TestKernels:
    def test_their_coefficients_are_on_levels_where_the_file_is_coded_by_context(self, tiny, context):
        for codecs, kernels, coefficients in (
            (("context",), None, True),
            (("huffman",), None, False),
            (("context",), "weights", False),
            (("huffman",), "coefficients", True),
        ):
            quantized = Quantize(slope=1e-4, kernels=kernels)(tiny, replace(context, codecs=codecs))
            found = [name for name in WEIGHTS if quantized.tensors[name].coefficient_exponents is not None]
            assert found == (["0.weight", "2.weight"] if coefficients else [])  # the last has kernels of 1 by 1

    def test_those_pruned_in_part_keep_their_weights_and_zeros(self, tiny, context):
        values = tiny.tensors["2.weight"].to_dense()
        for gone, coefficients in ((np.s_[0, 0, 0, 0], False), (np.s_[0, 0], True)):
            mask = np.ones(values.shape, np.bool_)
            mask[gone] = False
            pruned = tiny.with_tensors({"2.weight": Pruned(np.where(mask, values, np.float32(0)), mask)})
            found = Quantize(slope=1e-4)(pruned, context).tensors["2.weight"]
            assert (found.coefficient_exponents is not None) == coefficients
            assert not found.to_dense()[~mask].any()

    def test_what_their_errors_cost_is_the_quadratic_form_of_weights(self):
        random = np.random.default_rng(0)
        root = random.standard_normal((18, 18))
        found = LayerStatistics(root @ root.T / np.trace(root @ root.T), random.random(4))
        values, stored = random.standard_normal((2, 4, 2, 3, 3)).astype(np.float32)
        factors = found.row_feedback(0, 0.1, coefficients=True)
        layer = Layer("a", values, np.ones(values.shape, np.bool_), found.output_cost, factors, coefficients=True)
        error = (values - stored).reshape(4, 18).astype(np.float64)
        damped = found.moment + 0.1 / 18 * np.eye(18)
        wanted = 0.5 * found.output_cost @ np.einsum("ij,jk,ik->i", error, damped, error)
        assert layer.divergence(stored) == pytest.approx(wanted, rel=1e-5)

    def test_at_the_same_bytes_errors_cost_less_on_a_real_layer(self, squeezenet, real_context):
        name = "features.12.expand3x3.weight"
        weights, found = squeezenet.tensors[name].to_dense(), real_context.statistics(None)[name]

        def bytes_and_errors(coefficients):
            """Both together, in bytes, as a bit is worth what the slope says."""
            factors, mask = found.row_feedback(0, coefficients=coefficients), np.ones(weights.shape, np.bool_)
            layer = Layer(name, weights, mask, found.output_cost, factors, coefficients=coefficients)
            shared = layer.on_levels(2e-7, MIDDLE_TRELLIS, iterations=3)
            return len(CODECS["context"].encode(shared.indices)) + layer.divergence(shared.to_dense()) / 2e-7 / 8

        assert bytes_and_errors(coefficients=True) < 0.9 * bytes_and_errors(coefficients=False)


class TestBytes:
    def test_the_file_is_filled(self, tiny, context):
        for file_bytes in (1_000, 700):
            quantized = Quantize(bytes=file_bytes)(tiny, context)
            assert 0.98 * file_bytes <= context.file_bytes(quantized) <= file_bytes

    def test_the_first_choice_that_is_only_measured_may_leave_more_of_the_file_empty(self, tiny, context, monkeypatch):
        shares = []

        class Search(SlopeSearch):
            def __init__(self, file_bytes, first, share):
                super().__init__(file_bytes, first, share)
                shares.append(share)

        monkeypatch.setattr("compress.passes.quantize.SlopeSearch", Search)
        Quantize(bytes=1_000)(tiny, context)
        Quantize(bytes=1_000, measured_photos=0)(tiny, context)
        assert shares == [0.99, 0.998, 0.998]

    def test_they_may_be_given_with_a_unit(self):
        assert Quantize(bytes="0.5 MB").bytes == 500_000

    def test_a_file_that_no_slope_makes_small_enough_is_an_error_that_says_so(self, tiny, context):
        with pytest.raises(PassError, match="no slope brings the file under 100 bytes"):
            Quantize(bytes=100)(tiny, context)

    @pytest.mark.parametrize("options", [{}, {"bytes": 1000, "slope": 1e-4}])
    def test_neither_and_both_of_bytes_and_slope_are_refused(self, options):
        with pytest.raises(ValueError, match="give either slope or bytes"):
            Quantize(**options)

    def test_layers_in_sequence_take_a_slope(self):
        with pytest.raises(ValueError, match="sequential takes a slope"):
            Quantize(bytes=1000, sequential=True)


def test_a_codebook_is_one_of_levels_up_to_the_largest_in_use():
    levels = np.array([[[[-2]], [[0]], [[3]]]], np.int32)
    shared = on_levels(levels, np.zeros(1, np.int8), np.zeros(3, np.int8))
    assert shared.codebook.tolist() == [0, 1, -1, 2, -2, 3]
    assert shared.to_dense().ravel().tolist() == [-2, 0, 3]


def test_a_slope_that_needs_too_many_levels_is_refused(tiny, context):
    with pytest.raises(PassError, match="take a larger slope"):
        Quantize(slope=1e-30, sequential=False)(tiny, context)


def test_on_the_real_network_fewer_bytes_than_plain_weight_sharing_lose_less(squeezenet, real_context):
    quantized = Quantize(slope=2e-7, trellis=False)(squeezenet, real_context)  # with it, it takes minutes
    shared = Share(bits=4)(squeezenet, real_context)
    assert real_context.file_bytes(quantized) < 0.8 * real_context.file_bytes(shared)
    assert divergence(quantized, real_context) < 0.1 * divergence(shared, real_context)
