"""A network's forward pass in training: with other weights where it is given some, compiled where that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

from compress.errors import PassError

Forward = Callable[[Mapping[str, Tensor], Tensor], Tensor]
"""From weights that take the place of the network's own, by name, and inputs to logits."""


def forward_of(network: nn.Module, device: torch.device, *, compiled: bool) -> Forward:
    """Return the forward pass of a network.

    Args:
        network: in training or not, as it is when it is called.
        device: where it is.
        compiled: let torch compile it, in the first steps.
    Raises:
        PassError: it is to be compiled and is on no GPU; and when it is called, that it cannot be compiled.
    """

    def forward(weights: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        # To look for where weights go takes a hundredth of a step.
        logits: Tensor = functional_call(network, dict(weights), (inputs,)) if weights else network(inputs)
        return logits

    if not compiled:
        return forward
    if device.type != "cuda":
        raise PassError(f"compile is for GPUs, and this runs on {device}; leave it out, or name a GPU with --device")
    return _compiled(forward)


def _compiled(forward: Forward) -> Forward:
    from torch._dynamo.exc import TorchDynamoException  # noqa: PLC0415  takes a second to import

    made: Forward = torch.compile(forward)

    def checked(weights: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        try:
            return made(weights, inputs)
        except TorchDynamoException as error:
            reason = str(error).strip().splitlines()[0]
            raise PassError(f"torch cannot compile this network here: {reason}; leave out compile") from error

    return checked
