"""Tracing of a network's operations with `torch.fx`, and what a trace does not show."""

from __future__ import annotations

import copy

from torch import fx, nn

from compress.errors import WeightsError


def trace(network: nn.Module) -> fx.GraphModule:
    """Return the operations of a network.

    A copy is traced: the network's own code runs, and may keep the placeholders that it meets.

    Raises:
        WeightsError: the network cannot be copied or traced.
    """
    try:
        return fx.symbolic_trace(copy.deepcopy(network))
    except Exception as error:  # the network is the user's code
        raise WeightsError(f"torch.fx cannot trace the network: {error}") from error


def is_altered(module: nn.Module) -> bool:
    """Return whether hooks or a `forward` of its own change what a module computes; a trace does not show them."""
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))


def tensors_read(traced: fx.GraphModule) -> set[str]:
    """Return the names of the tensors that the network reads itself, and not through their module."""
    return {str(node.target) for node in traced.graph.nodes if node.op == "get_attr"}
