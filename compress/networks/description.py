"""Description of a network layer by layer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from compress.model import Model
from compress.networks.modules import NETWORKS, build, build_network, check_input, zero_input
from compress.networks.squeezenet import Fire, SqueezeNet

_POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)


@dataclass(frozen=True)
class LayerDescription:
    """One call of a layer.

    Attributes:
        name: the module's name.
        kind: `conv 3x3/2`, `max pool 3x3/2`, `mean`, ...
        output: height x width x channels; for logits, their number.
        parameters: weights and biases, counted in the first call only.
        multiply_accumulates: for one photo.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    multiply_accumulates: int


def describe_network(architecture: str, classes: int, height: int, width: int) -> list[LayerDescription]:
    """Return the layers of a network in order, for photos of height x width pixels.

    Args:
        architecture: a key of `NETWORKS`.
        classes: number of classes.
        height: pixels.
        width: pixels.
    Raises:
        ConfigError: unknown architecture.
    """
    build(architecture, classes)  # raises the error for an unknown architecture
    with torch.device("meta"):
        return _describe(NETWORKS[architecture](classes).eval(), torch.empty(1, 3, height, width))


def describe_model(model: Model) -> list[LayerDescription]:
    """Return the layers of a model's network in order, for its own input size.

    Raises:
        ConfigError: as `build_network`.
        WeightsError: as `check_input`.
    """
    check_input(model)
    return _describe(build_network(model), zero_input(model.preprocessing))


def _describe(network: nn.Module, photo: Tensor) -> list[LayerDescription]:
    layers: list[LayerDescription] = []
    counted: set[int] = set()
    for name, module in network.named_modules():
        if any(True for _ in module.parameters(recurse=False)) or isinstance(module, (*_POOLS, Fire)):
            module.register_forward_hook(_describing_hook(name, layers, counted))
    with torch.inference_mode():
        logits = network(photo)
    if isinstance(network, SqueezeNet):
        layers.append(LayerDescription("", "mean over the image", (1, 1, logits.shape[1]), 0, 0))
    return layers


def _describing_hook(
    name: str, layers: list[LayerDescription], counted: set[int]
) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        shape = tuple(output.shape[1:])
        # A Fire module's row shows its output; its parameters are in the rows of its three convolutions.
        new = [parameter for parameter in module.parameters(recurse=False) if id(parameter) not in counted]
        counted.update(id(parameter) for parameter in new)
        macs = 0
        if isinstance(module, nn.Conv1d | nn.Conv2d):
            macs = math.prod(shape[1:]) * module.weight.numel()
        elif isinstance(module, nn.Linear):
            macs = math.prod(shape[:-1]) * module.weight.numel()
        channels_last = (*shape[1:], shape[0]) if len(shape) == 3 else shape
        parameters = sum(parameter.numel() for parameter in new)
        layers.append(LayerDescription(name, _kind(module), channels_last, parameters, macs))

    return hook


def _kind(module: nn.Module) -> str:
    if isinstance(module, nn.Conv2d):
        groups = "" if module.groups == 1 else f" in {module.groups} groups"
        return f"conv {module.kernel_size[0]}x{module.kernel_size[1]}" + _stride(module.stride[0]) + groups
    if isinstance(module, nn.MaxPool2d):
        side = _side(module.kernel_size)
        return f"max pool {side}x{side}" + _stride(_side(module.stride))
    return type(module).__name__.lower()


def _side(sides: int | tuple[int, ...]) -> int:
    return sides if isinstance(sides, int) else sides[0]


def _stride(stride: int) -> str:
    return f"/{stride}" if stride > 1 else ""
