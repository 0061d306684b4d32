"""Quantization of one layer."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from divergence import divergence

from compress.calibration.layer_statistics import LayerStatistics
from compress.calibration.packed_triangular import packed
from compress.codecs import CODECS
from compress.codecs.primitives.trellis import TRELLIS_4096
from compress.quantization import layer_quantizer
from compress.quantization.assignment import assign_entries
from compress.quantization.codebooks import CodebookOptions
from compress.quantization.layer_quantizer import LayerQuantizer, quantize_biases, shared_levels
from compress.quantization.rate_distortion import symbol_bits_of


def quantizer_of(values, statistics, factors, correlation_factor=None, *, kernel_transform=False):
    """Return the quantizer of a layer without pruned weights."""
    arrays = values, np.ones(values.shape, np.bool_), statistics.row_fisher, factors, correlation_factor
    return LayerQuantizer("a", *arrays, kernel_transform=kernel_transform)


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


def test_the_predicted_divergence_is_the_quadratic_form_of_the_statistics():
    random = np.random.default_rng(0)
    roots = random.standard_normal((2, 9, 4))
    blocks = np.einsum("gij,gik->gjk", roots, roots)
    blocks /= np.trace(blocks, axis1=1, axis2=2)[:, None, None]
    statistics = LayerStatistics(blocks.mean(0), random.random(5), row_blocks=packed(blocks.astype(np.float32)))
    values, stored = random.standard_normal((2, 5, 4)).astype(np.float32)
    layer = quantizer_of(values, statistics, statistics.row_inverse_cholesky(1.0, 1e-9))
    error = (values - stored).astype(np.float64)
    quadratic = (error[row] @ blocks[group] @ error[row] for row, group in enumerate([0, 0, 0, 1, 1]))
    expected = sum(fisher * value / 2 for fisher, value in zip(statistics.row_fisher, quadratic, strict=True))
    assert layer.predicted_divergence(stored) == pytest.approx(expected, rel=1e-3)
    thrice = replace(layer, row_fisher=3 * layer.row_fisher)
    assert thrice.predicted_divergence(stored) == pytest.approx(3 * expected, rel=1e-3)


def test_the_predicted_divergence_includes_row_correlation():
    random = np.random.default_rng(0)
    correlation = np.array([[1, -0.6, 0.2], [-0.6, 1, 0.4], [0.2, 0.4, 1]], np.float32)
    statistics = LayerStatistics(np.eye(4) / 4, random.random(3), row_correlation=correlation)
    values, stored = random.standard_normal((2, 3, 4)).astype(np.float32)
    factors = statistics.row_inverse_cholesky(0, 0.0), statistics.correlation_inverse_cholesky(0.5)
    layer = quantizer_of(values, statistics, *factors)
    mixed, roots = 0.5 * correlation + 0.5 * np.eye(3), np.sqrt(statistics.row_fisher)
    error = (values - stored) * roots[:, None]
    expected = sum(column @ mixed @ column for column in error.T) / 4 / 2
    assert layer.predicted_divergence(stored) == pytest.approx(expected, rel=1e-5)


def test_the_predicted_divergence_is_the_quadratic_form_of_weights():
    random = np.random.default_rng(0)
    root = random.standard_normal((18, 18))
    statistics = LayerStatistics(root @ root.T / np.trace(root @ root.T), random.random(4))
    values, stored = random.standard_normal((2, 4, 2, 3, 3)).astype(np.float32)
    factors = statistics.row_inverse_cholesky(0, 0.1, kernel_transform=True)
    layer = quantizer_of(values, statistics, factors, kernel_transform=True)
    error = (values - stored).reshape(4, 18).astype(np.float64)
    damped = statistics.input_factor + 0.1 / 18 * np.eye(18)
    expected = 0.5 * statistics.row_fisher @ np.einsum("ij,jk,ik->i", error, damped, error)
    assert layer.predicted_divergence(stored) == pytest.approx(expected, rel=1e-5)


def test_on_a_real_layer_a_trellis_lowers_the_divergence_at_equal_bytes(squeezenet, real_context, monkeypatch):
    name = "features.9.expand3x3.weight"
    weights, statistics = squeezenet.tensors[name].to_dense(), real_context.fisher.layer_statistics(None)[name]
    layer = quantizer_of(weights, statistics, statistics.row_inverse_cholesky(0))

    def cost_at_no_bits(lambda_, trellis):
        """Return the cost of the errors, scaled to zero bits by a factor of 4 per bit."""
        shared = layer.quantize(lambda_, trellis, 3, symbol_bits_of(["context"]))
        error = (shared.to_dense() - weights).reshape(len(weights), -1).astype(np.float64)
        cost = statistics.row_fisher @ np.einsum("ij,jk,ik->i", error, statistics.input_factor, error)
        return cost * 4 ** (8 * len(CODECS["context"].encode(shared.indices)) / weights.size)

    def costs(trellis):
        return np.array([cost_at_no_bits(lambda_, trellis) for lambda_ in (1e-7, 2e-8, 5e-9)])

    along_trellis, plain = costs(TRELLIS_4096), costs(None)
    assert (along_trellis < plain).all()
    monkeypatch.setattr(layer_quantizer, "assign_entries", partial(assign_entries, max_survivors=1))
    assert (along_trellis < 0.89 * costs(None)).all()
    assert (plain < 0.93 * costs(None)).all()


def test_on_a_real_layer_the_kernel_transform_lowers_the_rate_distortion_cost(squeezenet, real_context):
    name = "features.12.expand3x3.weight"
    weights, statistics = squeezenet.tensors[name].to_dense(), real_context.fisher.layer_statistics(None)[name]

    def bytes_and_errors(kernel_transform):
        """Return the rate-distortion cost in bytes."""
        factors = statistics.row_inverse_cholesky(0, kernel_transform=kernel_transform)
        layer = quantizer_of(weights, statistics, factors, kernel_transform=kernel_transform)
        shared = layer.quantize(2e-7, TRELLIS_4096, 3, symbol_bits_of(["context"]))
        return len(CODECS["context"].encode(shared.indices)) + layer.predicted_divergence(shared.to_dense()) / 2e-7 / 8

    assert bytes_and_errors(kernel_transform=True) < 0.9 * bytes_and_errors(kernel_transform=False)


def test_on_a_real_layer_prices_by_column_lower_the_rate_distortion_cost(squeezenet, real_context):
    name, lambda_, huffman = "features.12.squeeze.weight", 2e-7, CODECS["huffman"]
    weights, statistics = squeezenet.tensors[name].to_dense(), real_context.fisher.layer_statistics(None)[name]
    layer = quantizer_of(weights, statistics, statistics.row_inverse_cholesky(0))

    def one_price(counts, zero):
        return np.broadcast_to(huffman.symbol_bits(counts.sum(0, keepdims=True), zero), counts.shape)

    def bytes_and_errors(symbol_bits):
        """Return the rate-distortion cost in bytes."""
        shared = layer.share(lambda_, CodebookOptions(256, "linear", 100, 4, "float16"), symbol_bits, 0)
        return len(huffman.encode(shared.indices)) + layer.predicted_divergence(shared.to_dense()) / lambda_ / 8

    assert bytes_and_errors(huffman.symbol_bits) < 0.995 * bytes_and_errors(one_price)


@pytest.mark.parametrize("name", ["features.7.squeeze.weight", "features.9.expand1x1.weight"])
def test_on_real_layers_steps_by_magnitude_lower_the_cost_where_entries_are_scarce(
    name, squeezenet, real_context, monkeypatch
):
    weights, statistics = squeezenet.tensors[name].to_dense(), real_context.fisher.layer_statistics(None)[name]
    layer, lambda_ = quantizer_of(weights, statistics, statistics.row_inverse_cholesky(0)), 2e-7

    def bytes_and_errors():
        """Return the rate-distortion cost in bytes."""
        options = CodebookOptions(32, "linear", 100, 4, "float16")
        shared = layer.share(lambda_, options, symbol_bits_of(["huffman"]), 0)
        assert len(shared.codebook) <= 32
        error = layer.predicted_divergence(shared.to_dense())
        return len(CODECS["huffman"].encode(shared.indices)) + error / lambda_ / 8

    by_magnitude = bytes_and_errors()
    monkeypatch.setattr(layer_quantizer, "steps_by_magnitude", lambda relative, *_: relative)
    assert by_magnitude < 0.9 * bytes_and_errors()


def test_a_codebook_of_levels_ends_at_the_largest_level_in_use():
    levels = np.array([[[[-2]], [[0]], [[3]]]], np.int32)
    shared = shared_levels(levels, np.zeros(1, np.int8), np.zeros(3, np.int8))
    assert shared.codebook.tolist() == [0, 1, -1, 2, -2, 3]
    assert shared.to_dense().ravel().tolist() == [-2, 0, 3]
