"""Parametrizations of quantized tensors."""

from __future__ import annotations

import numpy as np
import torch

from compress.passes import Quantize
from compress.training.parametrizations import parametrize


def test_weights_on_quantization_levels_are_not_trained_and_biases_are(tiny, context):
    tensors = Quantize(lambda_=1e-4)(tiny, context).tensors
    assert parametrize("2.weight", tensors["2.weight"], torch.device("cpu")) is None
    bias = parametrize("2.bias", tensors["2.bias"], torch.device("cpu"))
    assert np.array_equal(bias.tensor().to_dense(), tensors["2.bias"].to_dense())
