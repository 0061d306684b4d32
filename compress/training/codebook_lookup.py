"""Differentiable lookup of weights in a codebook, fast on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def as_channels_last(weights: Tensor) -> Tensor:
    """Return weights in the photos' memory format, so that convolutions need no conversion."""
    return weights.contiguous(memory_format=torch.channels_last) if weights.dim() == 4 else weights


class CodebookIndices:
    """Codebook indices of weights, flat, in channels-last order.

    Attributes:
        indices: of all weights.
        nonzero: positions of indices other than 0.
        nonzero_indices: indices at these positions.
    """

    def __init__(self, indices: Tensor) -> None:
        self.indices = _flatten_channels_last(indices)
        self.nonzero = self.indices.nonzero()[:, 0]
        self.nonzero_indices = self.indices[self.nonzero]
        self._shape = tuple(indices.shape)

    def as_weights(self, values: Tensor) -> Tensor:
        """Return flat values in the shape of the weights."""
        if len(self._shape) != 4:
            return values.view(self._shape)
        rows, columns, *kernel = self._shape
        return values.view(rows, *kernel, columns).permute(0, 3, 1, 2)


class CodebookLookup(torch.autograd.Function):
    """`codebook[indices]`, with a zero gradient of entry 0.

    The backward pass of torch's indexing is far slower on a CPU for a million weights and thirty entries.
    """

    @staticmethod
    def forward(ctx: Any, codebook: Tensor, indices: CodebookIndices) -> Tensor:
        ctx.indices, ctx.entries = indices, len(codebook)
        return indices.as_weights(codebook.index_select(0, indices.indices))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        values = _flatten_channels_last(gradients[0]).index_select(0, ctx.indices.nonzero)
        return torch.bincount(ctx.indices.nonzero_indices, values, ctx.entries).to(values.dtype), None


def _flatten_channels_last(weights: Tensor) -> Tensor:
    """Return weights in channels-last order; a view, if that is their memory format."""
    return (weights.permute(0, 2, 3, 1) if weights.dim() == 4 else weights).reshape(-1)
