"""Parametrizations of tensors whose codebook holds the coefficients of transformed kernels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from compress.passes import Quantize
from compress.training.parametrizations import parametrize, sort_codebook


def test_a_codebook_of_coefficients_gives_the_weights_of_its_kernels(tiny, context):
    tensor = Quantize(lambda_=1e-4)(tiny, context).tensors["2.weight"]
    assert tensor.coefficient_exponents is not None
    tensor = sort_codebook(replace(tensor, codebook=np.float32(2) * tensor.codebook))  # no quantization levels
    parametrization = parametrize("2.weight", tensor, torch.device("cpu"))
    np.testing.assert_allclose(parametrization.weights().detach().numpy(), tensor.to_dense(), atol=1e-6)
    assert np.array_equal(parametrization.tensor().to_dense(), tensor.to_dense())


def test_weights_on_quantization_levels_are_not_trained_and_biases_are(tiny, context):
    tensors = Quantize(lambda_=1e-4)(tiny, context).tensors
    assert parametrize("2.weight", tensors["2.weight"], torch.device("cpu")) is None
    bias = parametrize("2.bias", tensors["2.bias"], torch.device("cpu"))
    assert np.array_equal(bias.tensor().to_dense(), tensors["2.bias"].to_dense())
