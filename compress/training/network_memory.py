"""State that a network keeps between training steps, besides its parameters, for a training that resumes.

It has all buffers, also counters of batches and those that the state dictionary lacks, and plain attributes, such as a
number of steps that a schedule of the network's own follows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

_PLAIN = (bool, int, float, Tensor)
"""Types of attributes; a checkpoint can hold no other objects."""


def read_memory(network: nn.Module) -> dict[str, Any]:
    """Return a copy of all buffers, numbers and tensors that the modules of a network have, by name."""
    named = ((f"{prefix}.{name}", value) for prefix, _, name, value in _attributes(network))
    return {name: value.detach().clone() if isinstance(value, Tensor) else value for name, value in named}


def write_memory(network: nn.Module, memory: Mapping[str, Any]) -> None:
    """Restore what `read_memory` returned."""
    for prefix, module, name, value in list(_attributes(network)):
        saved = memory.get(f"{prefix}.{name}", value)
        if not isinstance(value, Tensor) or not isinstance(saved, Tensor):
            setattr(module, name, saved)
        elif value.shape == saved.shape:  # in place: another attribute may be a view of it
            with torch.no_grad():
                value.copy_(saved)
        else:
            value.data = saved.to(value.device)


def _attributes(network: nn.Module) -> Iterator[tuple[str, nn.Module, str, Any]]:
    for prefix, module in network.named_modules():
        for name, value in (*module._buffers.items(), *vars(module).items()):
            if type(value) in _PLAIN and name != "training":
                yield prefix, module, name, value
