"""What the errors of each layer's weights add to the divergence of a compressed network, measured on photos.

With `E` the error of a layer's weights and `G` the gradient of the divergence with respect to them in the compressed
network, half of `sum(E * G)` is the layer's part: to second order the parts of all layers sum to the divergence, and
twice a part is what the divergence rises by where the layer's error grows, the others held still.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from compress.errors import DataError
from compress.runtime.distributed import ALONE, Ranks
from compress.runtime.progress import Advance

Floats = NDArray[np.float64]

_SPREAD = 0.3
"""How far the ratio of a layer's measured part to the predicted one is usually from that of all layers together."""

_MOST = 4.0
"""A layer's ratio is at most so many times that of all layers together, or so many times less."""


def divergence(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence of the softmaxes of logits from those wanted, mean of a batch, nats."""
    return functional.kl_div(logits.log_softmax(1), wanted.log_softmax(1), reduction="batchmean", log_target=True)


def parts_of_layers(
    network: nn.Module,
    reference: nn.Module,
    errors: Mapping[str, Tensor],
    batches: Iterable[Tensor],
    advance: Advance,
    ranks: Ranks = ALONE,
) -> Mapping[str, Floats]:
    """Return the part of the divergence that each layer's error has, nats.

    Args:
        network: the compressed one, in evaluation mode; its weights are not changed.
        reference: the float network.
        errors: by the names of the weight tensors, what rounding changed in them; of their shapes.
        batches: inputs (n, channels, height, width), all of one size but the last.
        advance: called with the number of photos done.
        ranks: processes that have other batches; in turn, this one's are every so many-th.
    Returns:
        by name, shape (batches,): of several estimates the spread tells how sure their mean is.
    Raises:
        DataError: there were no photos.
    """
    weights = dict(network.named_parameters())
    parts: dict[str, list[float]] = {name: [] for name in errors}
    for inputs in batches:
        with torch.no_grad():
            logits = reference(inputs)
        used = [weights[name] for name in errors]
        gradients = torch.autograd.grad(divergence(network(inputs), logits), used, materialize_grads=True)
        for (name, error), gradient in zip(errors.items(), gradients, strict=True):
            parts[name].append(0.5 * float((error * gradient).sum()))
        advance(len(inputs))
    parts = {name: ranks.in_turn(found) for name, found in parts.items()}
    if not all(parts.values()):
        raise DataError("measuring the divergence needs at least one photo")
    return {name: np.array(values) for name, values in parts.items()}


def corrections(parts: Mapping[str, Floats], predicted: Mapping[str, float]) -> dict[str, float]:
    """Return by how much more a layer's errors cost than was predicted, beside those of all layers together.

    The less sure a measured part is, the nearer is its factor to 1.

    Args:
        parts: `parts_of_layers`.
        predicted: of the same layers, nats.
    Returns:
        factors by name; 1 for all where nothing was predicted, or measured.
    """
    total = sum(predicted.values())
    common = sum(float(found.mean()) for found in parts.values()) / total if total > 0 else 0.0
    if not common > 0:
        return dict.fromkeys(parts, 1.0)
    factors = {}
    for name, found in parts.items():
        expected = max(common * predicted[name], np.finfo(np.float64).tiny)
        ratio, doubt = float(found.mean()) / expected, float(found.std()) / max(len(found) - 1, 1) ** 0.5 / expected
        sure = _SPREAD**2 / (_SPREAD**2 + doubt**2) if len(found) > 1 else 0.0
        factors[name] = float(np.clip(1 + sure * (ratio - 1), 1 / _MOST, _MOST))
    return factors
