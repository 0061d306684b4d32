"""Weights in the order that convolutions read them in memory, and codebooks looked up in it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def as_convolved(weights: Tensor) -> Tensor:
    """Return weights in the memory format of the photos: else each convolution would bring them into it first."""
    return weights.contiguous(memory_format=torch.channels_last) if weights.dim() == 4 else weights


class Places:
    """Which weights take which entry of a codebook, in the order that weights have in memory.

    Attributes:
        indices: of all weights.
        kept: places of those that do not take entry 0.
        kept_indices: of those.
    """

    def __init__(self, indices: Tensor) -> None:
        self.indices = _in_memory(indices)
        self.mask = self.indices.nonzero()[:, 0]
        self.kept_indices = self.indices[self.mask]
        self._shape = tuple(indices.shape)

    def as_weights(self, values: Tensor) -> Tensor:
        """Return one value for each place as weights."""
        if len(self._shape) != 4:
            return values.view(self._shape)
        rows, columns, *kernel = self._shape
        return values.view(rows, *kernel, columns).permute(0, 3, 1, 2)


class Lookup(torch.autograd.Function):
    """`codebook[indices]`, whose backward pass sums the gradients of each entry; entry 0 gets none.

    Torch's own backward pass of an index with a million places into thirty is far slower on a CPU. Where most weights
    are pruned, so are most of the sums.
    """

    @staticmethod
    def forward(ctx: Any, codebook: Tensor, places: Places) -> Tensor:
        ctx.places, ctx.entries = places, len(codebook)
        return places.as_weights(codebook.index_select(0, places.indices))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        mask = _in_memory(gradients[0]).index_select(0, ctx.places.mask)
        return torch.bincount(ctx.places.kept_indices, mask, ctx.entries).to(mask.dtype), None


def _in_memory(weights: Tensor) -> Tensor:
    """Return weights in one dimension, in the order that `as_convolved` gives them in memory: no copy of them."""
    return (weights.permute(0, 2, 3, 1) if weights.dim() == 4 else weights).reshape(-1)
