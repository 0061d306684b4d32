"""Description of a network layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from compress.model import Model
from compress.networks.compared_output import leaves
from compress.networks.layer_calls import CompressibleLayer
from compress.networks.modules import builtin_network, check_input, to_module, zero_input
from compress.networks.operations import pair
from compress.networks.squeezenet import Fire, SqueezeNet

_POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)


@dataclass(frozen=True)
class LayerDescription:
    """One call of a layer.

    Attributes:
        name: of the module.
        kind: such as `conv 3x3/2` or `max pool 3x3/2`.
        output: height, width, channels; for logits, their number.
        parameters: counted in the first call only.
        multiply_accumulates: for one photo.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    multiply_accumulates: int


def describe_network(architecture: str, classes: int, height: int, width: int) -> list[LayerDescription]:
    """Return the layers of a built-in network for photos of height x width pixels.

    Raises:
        ConfigError: unknown architecture.
    """
    return _describe(builtin_network(architecture, classes), torch.zeros(1, 3, height, width))


def describe_model(model: Model) -> list[LayerDescription]:
    """Return the layers of a model's network for its own input size; errors as of `to_module` and `check_input`."""
    network = to_module(model)
    check_input(network, model)
    return _describe(network, zero_input(model.preprocessing))


def _describe(network: nn.Module, photo: Tensor) -> list[LayerDescription]:
    layers: list[LayerDescription] = []
    counted: set[int] = set()

    def add_layer(name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: object) -> None:
        tensors = [each for _, each in leaves(output) if isinstance(each, Tensor)]
        if not tensors:
            return
        first = tensors[0]  # a recurrent layer also returns its state, attention its weights
        shape = first.shape[1:]
        # A Fire module's row shows its output; its parameters are in the rows of its three convolutions.
        new = {id(values): values.numel() for values in module.parameters(recurse=False) if id(values) not in counted}
        counted.update(new)
        per_output = module.weight[0].numel() if isinstance(module, CompressibleLayer) else 0
        channels_last = (*shape[1:], shape[0]) if len(shape) == 3 else tuple(shape)
        parameters, macs = sum(new.values()), first.numel() * per_output
        layers.append(LayerDescription(name, _kind(module), channels_last, parameters, macs))

    for name, module in network.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            continue  # it takes no hooks
        if list(module.parameters(recurse=False)) or isinstance(module, (*_POOLS, Fire)):
            module.register_forward_hook(partial(add_layer, name))
    with torch.no_grad():
        logits = network(photo)
    if isinstance(network, SqueezeNet):
        layers.append(LayerDescription("", "mean over the image", (1, 1, logits.shape[1]), 0, 0))
    return layers


def _kind(module: nn.Module) -> str:
    if isinstance(module, nn.Conv2d):
        groups = "" if module.groups == 1 else f" in {module.groups} groups"
        return f"conv {_window(module.kernel_size, module.stride)}{groups}"
    if isinstance(module, nn.MaxPool2d):
        return f"max pool {_window(module.kernel_size, module.stride)}"
    return type(module).__name__.lower()


def _window(kernel: int | tuple[int, ...], strides: int | tuple[int, ...]) -> str:
    (height, width), (stride, _) = pair(kernel), pair(strides)
    return f"{height}x{width}/{stride}" if stride > 1 else f"{height}x{width}"
