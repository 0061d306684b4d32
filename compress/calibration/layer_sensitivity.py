"""How much the error of each layer contributes to the divergence of a compressed network, measured on photos.

A layer's contribution is half of `sum(E * G)`: E is the error of its weights, G the gradient of the divergence with
respect to the weights of the compressed network. To second order the contributions of all layers add up to the
divergence, and twice a contribution is the derivative of the divergence by the relative size of the layer's error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from compress.calibration.photo_batches import MAX_BATCH_PHOTOS
from compress.errors import DataError
from compress.runtime.distributed import SINGLE_PROCESS, ProcessGroup
from compress.runtime.progress import Advance

Floats = NDArray[np.float64]

_PRIOR_DEVIATION = 0.3
"""Typical standard deviation of the layers' ratios of measured to predicted contribution, relative to their mean."""

_MAX_CORRECTION = 4.0
"""Largest correction factor of a layer. The smallest is its inverse."""


def divergence(logits: Tensor, reference_logits: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence of softmaxes from the reference's, the mean over a batch, in nats.

    Args:
        logits: shape (photos, classes), or of maps (photos, classes, positions): the mean over positions.
        reference_logits: in the same shape.
    """
    log_probabilities, reference = logits.log_softmax(1), reference_logits.log_softmax(1)
    nats = functional.kl_div(log_probabilities, reference, reduction="batchmean", log_target=True)
    return nats / logits[0, 0].numel()


def layer_contributions(
    network: nn.Module,
    reference: nn.Module,
    errors: Mapping[str, Tensor],
    batches: Iterable[Tensor],
    advance: Advance,
    processes: ProcessGroup = SINGLE_PROCESS,
    pass_photos: int = MAX_BATCH_PHOTOS,
    output_error: Callable[[Tensor, Tensor], Tensor] = divergence,
) -> Mapping[str, Floats]:
    """Return the contribution of each layer's error to the divergence, in nats, or to another error of the outputs.

    Args:
        network: the compressed network, in evaluation mode.
        reference: the float network.
        errors: the error of each weight tensor, by name, in the shape of the tensor.
        batches: inputs of this process, (n, channels, height, width), each of the same length but the last.
        advance: called with the number of photos done.
        processes: the processes that share the batches in turn.
        pass_photos: photos of a batch that run through the networks together.
        output_error: error of outputs from the float network's, the mean over a batch.
    Returns:
        by name, shape (batches of all processes,): one estimate per batch, so that their variance is known.
    Raises:
        DataError: there are no photos.
    """
    parameters = dict(network.named_parameters())
    weights = [parameters[name] for name in errors]
    contributions: dict[str, list[float]] = {name: [] for name in errors}
    for batch in batches:
        for values in contributions.values():
            values.append(0.0)
        for inputs in torch.split(batch, pass_photos):
            with torch.no_grad():
                reference_logits = reference(inputs)
            loss = output_error(network(inputs), reference_logits) * (len(inputs) / len(batch))
            gradients = torch.autograd.grad(loss, weights, materialize_grads=True)
            for (name, error), gradient in zip(errors.items(), gradients, strict=True):
                contributions[name][-1] += 0.5 * float((error * gradient).sum())
        advance(len(batch))
    gathered = {name: processes.gather_interleaved(values) for name, values in contributions.items()}
    if not all(gathered.values()):
        raise DataError("layer sensitivity cannot be measured without photos; add calibration photos")
    return {name: np.array(values) for name, values in gathered.items()}


def sensitivity_corrections(contributions: Mapping[str, Floats], predicted: Mapping[str, float]) -> dict[str, float]:
    """Return the factor by which each layer's predicted contribution is wrong, relative to that of all layers together.

    A factor is drawn towards 1 by the standard error of the measured contribution.

    Args:
        contributions: result of `layer_contributions`.
        predicted: the contributions that the Fisher information predicts, in nats.
    Returns:
        factors by name; all 1 if the total measured or predicted contribution is not positive.
    """
    total = sum(predicted.values())
    common = sum(float(measured.mean()) for measured in contributions.values()) / total if total > 0 else 0.0
    if not common > 0:
        return dict.fromkeys(contributions, 1.0)
    factors = {}
    for name, measured in contributions.items():
        expected = max(common * predicted[name], np.finfo(np.float64).tiny)
        ratio = float(measured.mean()) / expected
        standard_error = float(measured.std()) / max(len(measured) - 1, 1) ** 0.5 / expected
        prior = _PRIOR_DEVIATION**2
        confidence = prior / (prior + standard_error**2) if len(measured) > 1 else 0.0
        factors[name] = float(np.clip(1 + confidence * (ratio - 1), 1 / _MAX_CORRECTION, _MAX_CORRECTION))
    return factors
