"""Gradients of a layer's weights and biases for each photo of a batch."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from compress.networks.layer_calls import CompressibleLayer, LayerCall


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
    inputs = weight_inputs(call.layer, call.inputs)  # (n, groups, columns, positions)
    outputs = _positions_last(output_gradient) if isinstance(call.layer, nn.Linear) else output_gradient.flatten(2)
    by_group = outputs.reshape(len(outputs), inputs.shape[1], -1, outputs.shape[2])  # (n, groups, rows, positions)
    weight_gradients, bias_gradients = (by_group @ inputs.transpose(2, 3)).flatten(1, 2), outputs.sum(2)
    if len(weight_gradients) == photos:
        return weight_gradients, bias_gradients
    examples = 1 if len(weight_gradients) % photos else photos
    return _summed(weight_gradients, examples), _summed(bias_gradients, examples)


def weight_inputs(layer: CompressibleLayer, x: Tensor) -> Tensor:
    """Return the inputs that each weight is multiplied with, (n, groups, columns, positions)."""
    if isinstance(layer, nn.Linear):
        return _positions_last(x).unsqueeze(1)
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        x = functional.pad(x, layer._reversed_padding_repeated_twice, mode=mode)
        padding = (0,) * len(layer.kernel_size)
    else:
        padding = layer.padding
    kernel, stride, dilation = layer.kernel_size, layer.stride, layer.dilation
    if set(kernel) == {1} and set(stride) == {1} and set(padding) == {0}:
        return _by_group(layer, x.flatten(2))
    if isinstance(layer, nn.Conv1d):  # unfold supports images only
        x = x.unsqueeze(2)
        kernel, stride, dilation, padding = (1, *kernel), (1, *stride), (1, *dilation), (0, *padding)
    return _by_group(layer, functional.unfold(x, kernel, dilation, padding, stride))


def _summed(gradients: Tensor, examples: int) -> Tensor:
    """Return the sums of consecutive gradients, so that as many examples remain."""
    return gradients.reshape(examples, -1, *gradients.shape[1:]).sum(1)


def _by_group(layer: nn.Conv1d | nn.Conv2d, columns: Tensor) -> Tensor:
    """Return (n, columns of all groups, positions) as (n, groups, columns, positions)."""
    return columns.reshape(len(columns), layer.groups, -1, columns.shape[2])


def _positions_last(x: Tensor) -> Tensor:
    """Return the tensor of a linear layer, (n, features) or (n, ..., features), as (n, features, positions)."""
    return x.flatten(1, -2).transpose(1, 2) if x.dim() > 2 else x.unsqueeze(2)
