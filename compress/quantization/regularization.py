"""Layer quantizers from statistics, regularized: the fewer samples, the less the statistics of single rows count."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from compress.calibration.layer_statistics import LayerStatistics
from compress.quantization.layer_quantizer import LayerQuantizer
from compress.tensors.forms import Tensor
from compress.tensors.kernel_transform import has_3x3_kernels

Floats = NDArray[np.float64]

_SAMPLES_FOR_HALF_ROW_WEIGHT = 5_000
"""Number of samples at which the block of a row has a weight of one half in a mixture with the input factor."""

_SAMPLES_FOR_HALF_CLASS_WEIGHT = 2_000
"""The same for the last layer, whose gradients are exact, not sampled."""

_MAX_CORRELATION_WEIGHT = 0.5
"""Weight of the row correlation for many samples. The correlation is not the same in all columns."""

_SAMPLES_FOR_HALF_CORRELATION_WEIGHT = 1_000

_MIN_DAMPING = 0.01
"""Damping of the Hessian, as a fraction of its mean diagonal."""

_MIN_CLASSIFIER_DAMPING, _MAX_CLASSIFIER_DAMPING = 0.1, 0.3
"""The same for the last layer, whose rows are classes: for many samples of each class, and for few."""

_CLASS_SAMPLES_FOR_UNIT_DAMPING = 0.25
"""Number of samples for each class at which the damping of the last layer would be higher by 1."""

_MAX_DAMPING = 0.5


def regularized_quantizer(
    name: str,
    tensor: Tensor,
    statistics: LayerStatistics,
    samples: int,
    lambda_: float,
    *,
    is_classifier: bool,
    kernel_transform: bool,
) -> LayerQuantizer:
    """Return the quantizer of a layer. Overwrites the row blocks of the statistics to save memory.

    Args:
        name: of the weight tensor.
        tensor: the weights.
        statistics: of the layer, with row blocks.
        samples: number of photos, times augmentations, of the statistics.
        lambda_: nats a bit.
        is_classifier: the layer is the last one.
        kernel_transform: quantize the transform coefficients of 3x3 kernels if no kernel is pruned in part.
    """
    weights, mask = tensor.to_dense(), tensor.mask
    row_weight, min_damping = row_weight_and_damping(statistics, samples, is_classifier=is_classifier)
    damping = np.minimum(min_damping + noise_to_signal(weights, statistics, lambda_), _MAX_DAMPING)
    kernel_transform = kernel_transform and has_3x3_kernels(mask.shape) and _has_whole_kernels(mask)
    inverse_cholesky = statistics.row_inverse_cholesky(
        row_weight, damping, out=statistics.row_blocks, kernel_transform=kernel_transform
    )
    correlation_weight = _MAX_CORRELATION_WEIGHT * samples / (samples + _SAMPLES_FOR_HALF_CORRELATION_WEIGHT)
    correlation_factor = statistics.correlation_inverse_cholesky(correlation_weight)
    arrays = weights, mask, statistics.row_fisher, inverse_cholesky, correlation_factor
    return LayerQuantizer(name, *arrays, kernel_transform, statistics.bias_fisher)


def row_weight_and_damping(statistics: LayerStatistics, samples: int, *, is_classifier: bool) -> tuple[float, float]:
    """Return the weight of row blocks in the mixture with the input factor, and the minimum damping."""
    if is_classifier:
        classes = len(statistics.row_fisher)
        damping = _MIN_CLASSIFIER_DAMPING + _CLASS_SAMPLES_FOR_UNIT_DAMPING * classes / max(samples, 1)
        return samples / (samples + _SAMPLES_FOR_HALF_CLASS_WEIGHT), min(damping, _MAX_CLASSIFIER_DAMPING)
    return samples / (samples + _SAMPLES_FOR_HALF_ROW_WEIGHT), _MIN_DAMPING


def noise_to_signal(weights: NDArray[np.float32], statistics: LayerStatistics, lambda_: float) -> Floats:
    """Return the damping of the Hessian that keeps quantization errors below the weights in all directions of a row.

    Quantization puts the same divergence, `lambda / (2 ln 2)` per weight, into every direction. Where the cost of an
    error is low, the errors would grow larger than the weights, though zero weights would cost less.

    Args:
        weights: shape (rows, ...).
        statistics: of the layer.
        lambda_: nats a bit.
    Returns:
        shape (rows,), as a fraction of the mean diagonal.
    Source: reverse water-filling; Cover & Thomas, "Elements of information theory", section 10.3.3.
    """
    power = np.square(weights.reshape(len(weights), -1), dtype=np.float64).sum(1)
    noise = lambda_ / math.log(2) * (weights[0].size ** 2)
    damping: Floats = noise / np.maximum(statistics.row_fisher * power, np.finfo(np.float64).tiny)
    return damping


def _has_whole_kernels(mask: NDArray[np.bool_]) -> bool:
    """Return whether each kernel is pruned as a whole or not at all."""
    return bool((mask == mask[:, :, :1, :1]).all())
