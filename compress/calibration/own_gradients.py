"""Functions of the user with a `backward` of their own, which need not return the gradients of the outputs."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from compress.calibration.pass_gradients import gradients_of
from compress.errors import first_names
from compress.networks.layer_calls import weight_matrices

_LOGGER = logging.getLogger(__name__)

_STEP = 1e-3
"""Length of a change of the weights for a difference quotient, relative to that of the weights."""

_MAX_FACTOR = 2.0
"""Largest factor between a difference quotient and the gradient without a warning."""

_ROUNDING = 1e-5
"""Smallest change of the outputs that tells more than float32 rounding, relative to the outputs."""


def warn_of_own_gradients(network: nn.Module, inputs: Tensor, noise: Tensor) -> None:
    """Warn of layers whose gradients the network's own functions scale, so that they are not those of the outputs.

    Fisher information would take these layers for more or less important than they are. The check uses
    difference quotients on the photos of a pass, so that correct functions, such as ones that save memory, get no
    warning.

    Args:
        network: in evaluation mode.
        inputs: photos of a pass.
        noise: random numbers in the shape of the network's outputs.
    Raises:
        PassError: gradients cannot be computed.
    """
    with torch.enable_grad():
        logits = network(inputs)
    if not (functions := _own_functions(logits)):
        return
    factors = _factors(network, inputs, logits, noise.to(logits))
    if wrong := [name for name, factor in factors.items() if not 1 / _MAX_FACTOR <= abs(factor) <= _MAX_FACTOR]:
        listed = first_names([f"{name} ({abs(factors[name]):.2g} times)" for name in wrong])
        _LOGGER.warning(
            "the backward of %s in the network's code does not return the gradients of the outputs: errors in these "
            "weights change the outputs more or less than their gradients say, and get too few or too many bits: %s. "
            "Return gradients without factors in evaluation mode, or use passes without statistics",
            first_names(sorted(functions)),
            listed,
        )


def _own_functions(outputs: Tensor) -> set[str]:
    """Return the names of the functions, not of torch, whose `backward` the gradients of outputs run through."""
    waiting, seen, names = [outputs.grad_fn], {outputs.grad_fn}, set()
    while waiting:
        node = waiting.pop()
        function = getattr(node, "_forward_cls", None)
        if function and function.__module__.partition(".")[0] != "torch":
            names.add(function.__name__)
        before = {each for each, _ in node.next_functions if each is not None} - seen if node else set()
        seen |= before
        waiting.extend(before)
    return names


def _factors(network: nn.Module, inputs: Tensor, logits: Tensor, direction: Tensor) -> Mapping[str, float]:
    """Return difference quotients of weights along their gradients, as factors of what the gradients predict."""
    matrices = weight_matrices(network)
    gradients = gradients_of(logits, list(matrices.values()), direction, allow_unused=True)
    rounding = _ROUNDING * float((logits.detach() * direction).abs().sum())
    factors = {}
    for (name, weight), gradient in zip(matrices.items(), gradients, strict=True):
        if gradient is None or not gradient.any():
            continue
        change = gradient * (_STEP * weight.norm() / gradient.norm())
        predicted = 2 * float((gradient * change).sum())
        higher, lower = (_outputs_with(network, inputs, weight, sign * change) for sign in (1, -1))
        actual = float(((higher - lower) * direction).sum())
        if max(abs(actual), abs(predicted)) > rounding:
            factors[name] = actual / predicted
    return factors


def _outputs_with(network: nn.Module, inputs: Tensor, weight: nn.Parameter, change: Tensor) -> Tensor:
    """Return the outputs with other values of a weight, which are restored."""
    with torch.no_grad():
        values = weight.clone()
        weight.add_(change)
        outputs: Tensor = network(inputs)
        weight.copy_(values)
    return outputs
