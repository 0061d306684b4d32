"""Weights whose influence on the outputs has no gradient: Fisher information takes them for free."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn

from compress.calibration.photo_batches import PhotoBatch
from compress.errors import PassError
from compress.model import bias_name
from compress.networks.equivalence import relative_difference
from compress.runtime.distributed import ProcessGroup

_MAX_DIFFERENCE = 1e-6
"""Largest difference of outputs, relative to the largest one, without a weight that has no influence."""


def check_no_hidden_influence(
    network: nn.Module, batches: Iterable[PhotoBatch], weights: Mapping[str, bool], processes: ProcessGroup
) -> None:
    """Check that the outputs for the first photos stay the same without weights that have no Fisher information.

    Weights behind a dead ReLU have none, and may go. Those behind `argmax`, `round`, `sign` or a comparison have none
    either, and all outputs may depend on them.

    Args:
        network: in evaluation mode.
        batches: the photos.
        weights: whether the bias has none, too, by the name of the weight tensor.
        processes: all processes, which check the same weights.
    Raises:
        PassError: the outputs change; names the tensor.
    """
    if not weights:
        return
    passes = (each.inputs for batch in batches for each in batch.passes() if each.inputs is not None)
    inputs = next(passes, None)
    for name, with_bias in weights.items():
        names = [name, bias_name(name)] if with_bias else [name]
        if not processes.all_agree(inputs is None or not _changes_outputs(network, names, inputs)):
            raise PassError(
                "the outputs depend on it, but no gradient reaches it: the network uses it through argmax, round, sign "
                "or a comparison, or each softmax is 0 or 1; use passes without statistics, as prune by magnitude and "
                "share by k-means",
                tensor=name,
            )


def _changes_outputs(network: nn.Module, names: Sequence[str], inputs: torch.Tensor) -> bool:
    parameters = [parameter for name, parameter in network.named_parameters() if name in names]
    with torch.no_grad():
        expected, values = network(inputs), [parameter.clone() for parameter in parameters]
        for parameter in parameters:
            parameter.zero_()
        outputs = network(inputs)
        for parameter, value in zip(parameters, values, strict=True):
            parameter.copy_(value)
    return not relative_difference(expected, outputs) <= _MAX_DIFFERENCE  # also if it is not a number
