"""Gradients of a layer's weights and biases for each photo of a batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv1d_weight, conv2d_weight

from compress.networks.layer_calls import CompressibleLayer, LayerCall

_MAX_UNFOLDED = 4 * 10**6
"""Largest number of unfolded inputs of a photo: 80 MB in float32 for the photos of a pass."""

CallGradients = list[tuple[LayerCall, Tensor]]
"""The calls of a layer, each with the gradient of its outputs."""


def example_gradients(call: LayerCall, output_gradient: Tensor, photos: int) -> tuple[Tensor, Tensor]:
    """Return each photo's gradients of the weights, (photos, rows, columns), and of the biases, (photos, rows).

    A layer may see several crops of each photo, one photo's crops after another's; their gradients are summed. If the
    batch of the layer is not a multiple of the photos, all gradients are summed as one photo's: the directions of
    different photos are independent, so that the mean over many photos stays correct.

    Args:
        call: a call of the layer.
        output_gradient: in the shape of the call's outputs.
        photos: number of photos in the network's batch.
    Returns:
        the gradients of the weights in the precision of `output_gradient`.
    """
    layer, inputs, outputs = call.layer, call.inputs.to(output_gradient.dtype), _by_position(call, output_gradient)
    if isinstance(layer, nn.Linear) or _is_unfolded(layer, outputs.shape[2]):
        weight_gradients = _in_weight_order(layer, outputs @ _weight_inputs(layer, inputs, output_gradient))
    else:
        weight_gradients = _convolution_gradients(layer, inputs, output_gradient)
    bias_gradients = torch.stack([each.sum(1, dtype=torch.float32) for each in outputs])  # faster than the batch
    if len(weight_gradients) == photos:
        return weight_gradients, bias_gradients
    examples = 1 if len(weight_gradients) % photos else photos
    return _summed(weight_gradients, examples), _summed(bias_gradients, examples)


def summed_gradients(calls: CallGradients, photos: int) -> tuple[Tensor, Tensor]:
    """Return `example_gradients`, summed over the calls of the layer."""
    weight_gradients, bias_gradients = zip(*(example_gradients(*call, photos) for call in calls), strict=True)
    return sum(weight_gradients[1:], weight_gradients[0]), sum(bias_gradients[1:], bias_gradients[0])


def compact_gradients(call: LayerCall, output_gradient: Tensor, group_rows: Sequence[int]) -> Tensor | None:
    """Return fewer gradients than rows, with the same sum of outer products, for each group of rows of an example.

    The gradients of a group are `D @ X`, with the gradients `D` of its outputs, shape (rows, positions), and the inputs
    `X` at each position. If `D = Q @ R` with orthonormal columns in `Q`, the rows of `R @ X` have the same sum.

    Args:
        call: a call of the layer.
        output_gradient: in the shape of the call's outputs.
        group_rows: number of rows of each group, adjacent ones.
    Returns:
        shape (groups, n * positions, columns) for n examples in the batch of the layer; None: they would not be fewer,
        or the rows read different channels.
    """
    outputs = _by_position(call, output_gradient).float()
    if getattr(call.layer, "groups", 1) > 1 or outputs.shape[2] >= min(group_rows):
        return None
    inputs = _weight_inputs(call.layer, call.inputs.float(), output_gradient)
    factors = [torch.linalg.qr(rows, mode="r").R for rows in torch.split(outputs, list(group_rows), 1)]
    return torch.stack([_in_weight_order(call.layer, factor @ inputs).flatten(0, 1) for factor in factors])


def _convolution_gradients(layer: nn.Conv1d | nn.Conv2d, x: Tensor, output_gradient: Tensor) -> Tensor:
    """Return the gradient of the weights for each input, shape (n, rows, columns).

    The inputs become groups of one large convolution: torch has its gradient in one call that unfolds nothing.
    """
    x, padding = _padded(layer, x)
    gradient: Any = conv1d_weight if isinstance(layer, nn.Conv1d) else conv2d_weight
    rows, *column_shape = layer.weight.shape
    one_input, one_output = (each.flatten(0, 1).unsqueeze(0) for each in (x, output_gradient))
    shape = len(x) * rows, *column_shape
    geometry = layer.stride, padding, layer.dilation, len(x) * layer.groups
    gradients: Tensor = gradient(one_input, shape, one_output, *geometry)
    return gradients.reshape(len(x), rows, -1)


def _is_unfolded(layer: nn.Conv1d | nn.Conv2d, positions: int) -> bool:
    """Return whether unfolded inputs, which torch multiplies faster than it convolves, are possible and few enough."""
    is_small = layer.weight[0].numel() * positions <= _MAX_UNFOLDED
    return layer.groups == 1 and (is_small or math.prod(layer.kernel_size) == 1)


def _weight_inputs(layer: CompressibleLayer, x: Tensor, output_gradient: Tensor) -> Tensor:
    """Return the inputs that each weight of an ungrouped layer is multiplied with, (n, positions, columns).

    The channels of a kernel position are adjacent, as in memory. `_in_weight_order` changes that.
    """
    if isinstance(layer, nn.Linear):
        return _positions_last(x).transpose(1, 2)
    x, padding = _padded(layer, x)
    x = x.movedim(1, -1)
    if any(padding):
        x = functional.pad(x, [0, 0, *(zeros for each in reversed(padding) for zeros in (each, each))])
    x = x.contiguous()
    photo, *positions, channel = x.stride()
    strides = [each * step for each, step in zip(positions, layer.stride, strict=True)]
    within = [each * step for each, step in zip(positions, layer.dilation, strict=True)]
    shape = len(x), *output_gradient.shape[2:], *layer.kernel_size, x.shape[-1]
    windows = x.as_strided(shape, (photo, *strides, *within, channel))
    return windows.reshape(len(x), output_gradient[0, 0].numel(), -1)


def _in_weight_order(layer: CompressibleLayer, gradients: Tensor) -> Tensor:
    """Return gradients, shape (n, rows, columns), whose columns are ordered as in the weights, not in the inputs."""
    if isinstance(layer, nn.Linear) or math.prod(layer.kernel_size) == 1:
        return gradients
    return gradients.reshape(*gradients.shape[:2], -1, layer.weight.shape[1]).transpose(2, 3).flatten(2)


def _padded(layer: nn.Conv1d | nn.Conv2d, x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """Return the input with the padding that is not zeros on both sides, and how many zeros are still to be added."""
    if layer.padding_mode == "zeros" and not isinstance(layer.padding, str):
        return x, layer.padding
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    return functional.pad(x, layer._reversed_padding_repeated_twice, mode=mode), (0,) * len(layer.kernel_size)


def _by_position(call: LayerCall, output_gradient: Tensor) -> Tensor:
    """Return the gradient of a call's outputs as (n, rows, positions)."""
    return _positions_last(output_gradient) if isinstance(call.layer, nn.Linear) else output_gradient.flatten(2)


def _summed(gradients: Tensor, examples: int) -> Tensor:
    """Return the sums of consecutive gradients, so that as many examples remain."""
    return gradients.reshape(examples, -1, *gradients.shape[1:]).sum(1)


def _positions_last(x: Tensor) -> Tensor:
    """Return the tensor of a linear layer, (n, features) or (n, ..., features), as (n, features, positions)."""
    return x.flatten(1, -2).transpose(1, 2) if x.dim() > 2 else x.unsqueeze(2)
