"""Gradients of a layer's weights and biases for each photo of a batch."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv1d_weight, conv2d_weight

from compress.networks.layer_calls import LayerCall


def example_gradients(call: LayerCall, output_gradient: Tensor, photos: int) -> tuple[Tensor, Tensor]:
    """Return each photo's gradients of the weights, (photos, rows, columns), and of the biases, (photos, rows).

    A layer may see several crops of each photo, one photo's crops after another's; their gradients are summed. If the
    batch of the layer is not a multiple of the photos, all gradients are summed as one photo's: the directions of
    different photos are independent, so that the mean over many photos stays correct.

    Args:
        call: a call of the layer.
        output_gradient: in the shape of the call's outputs.
        photos: number of photos in the network's batch.
    """
    layer, outputs = call.layer, output_gradient
    if isinstance(layer, nn.Linear):
        outputs = _positions_last(outputs)
        weight_gradients = outputs @ _positions_last(call.inputs).transpose(1, 2)
    else:
        weight_gradients = _convolution_gradients(layer, call.inputs, outputs)
    bias_gradients = outputs.flatten(2).sum(2)
    if len(weight_gradients) == photos:
        return weight_gradients, bias_gradients
    examples = 1 if len(weight_gradients) % photos else photos
    return _summed(weight_gradients, examples), _summed(bias_gradients, examples)


def _convolution_gradients(layer: nn.Conv1d | nn.Conv2d, x: Tensor, output_gradient: Tensor) -> Tensor:
    """Return the gradient of the weights for each input, shape (n, rows, columns).

    The inputs become groups of one large convolution: torch has its gradient in one call that unfolds nothing.
    """
    if set(layer.kernel_size) == set(layer.stride) == {1} and layer.groups == 1 and not _padded(layer):
        return output_gradient.flatten(2) @ x.flatten(2).transpose(1, 2)
    padding: int | tuple[int, ...] | str = layer.padding
    if layer.padding_mode != "zeros" or isinstance(padding, str):
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        x, padding = functional.pad(x, layer._reversed_padding_repeated_twice, mode=mode), 0
    gradient: Any = conv1d_weight if isinstance(layer, nn.Conv1d) else conv2d_weight
    rows, *column_shape = layer.weight.shape
    one_input, one_output = (each.flatten(0, 1).unsqueeze(0) for each in (x, output_gradient))
    shape = len(x) * rows, *column_shape
    geometry = layer.stride, padding, layer.dilation, len(x) * layer.groups
    gradients: Tensor = gradient(one_input, shape, one_output, *geometry)
    return gradients.reshape(len(x), rows, -1)


def _padded(layer: nn.Conv1d | nn.Conv2d) -> bool:
    return isinstance(layer.padding, str) or any(layer.padding)


def _summed(gradients: Tensor, examples: int) -> Tensor:
    """Return the sums of consecutive gradients, so that as many examples remain."""
    return gradients.reshape(examples, -1, *gradients.shape[1:]).sum(1)


def _positions_last(x: Tensor) -> Tensor:
    """Return the tensor of a linear layer, (n, features) or (n, ..., features), as (n, features, positions)."""
    return x.flatten(1, -2).transpose(1, 2) if x.dim() > 2 else x.unsqueeze(2)
