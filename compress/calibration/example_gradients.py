"""What weights are multiplied with, and the gradients that follow: of convolutions and linear layers of all kinds."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from compress.networks.layer_calls import Call, Layer


def photo_gradients(call: Call, gradient: Tensor, photos: int) -> tuple[Tensor, Tensor]:
    """Return each photo's gradients of a layer's weights, (photos, rows, columns), and of its biases, (photos, rows).

    Where the layer's inputs are stretches of photos, one photo's after another's, those of a photo are summed; where
    they are not the photos' in any such way, all are, as if they were one photo's: directions of different photos have
    nothing to do with each other, so that the mean over many stays what it is.

    Args:
        call: a run of the layer.
        gradient: of its outputs, of their shape.
        photos: how many went through the network.
    """
    inputs = patches(call.layer, call.inputs)  # (n, groups, columns, positions)
    outputs = _positions_last(gradient) if isinstance(call.layer, nn.Linear) else gradient.flatten(2)
    by_group = outputs.reshape(len(outputs), inputs.shape[1], -1, outputs.shape[2])  # (n, groups, rows, positions)
    of_weights, of_biases = (by_group @ inputs.transpose(2, 3)).flatten(1, 2), outputs.sum(2)
    if len(of_weights) == photos:
        return of_weights, of_biases
    apart = 1 if len(of_weights) % photos else photos
    summed = (each.reshape(apart, -1, *each.shape[1:]).sum(1) for each in (of_weights, of_biases))
    return next(summed), next(summed)


def patches(layer: Layer, x: Tensor) -> Tensor:
    """Return what each weight is multiplied with: (n, groups, columns, positions)."""
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
    if isinstance(layer, nn.Conv1d):  # unfold knows photos alone
        x = x.unsqueeze(2)
        kernel, stride, dilation, padding = (1, *kernel), (1, *stride), (1, *dilation), (0, *padding)
    return _by_group(layer, functional.unfold(x, kernel, dilation, padding, stride))


def _by_group(layer: nn.Conv1d | nn.Conv2d, columns: Tensor) -> Tensor:
    """Bring (n, columns of all groups, positions) to (n, groups, columns, positions)."""
    return columns.reshape(len(columns), layer.groups, -1, columns.shape[2])


def _positions_last(x: Tensor) -> Tensor:
    """Bring a linear layer's (n, features) or (n, ..., features) to (n, features, positions)."""
    return x.flatten(1, -2).transpose(1, 2) if x.dim() > 2 else x.unsqueeze(2)
