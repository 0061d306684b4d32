"""What a network is made of."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from compress.model import Model
from compress.networks.modules import NETWORKS, build, check_input, network_of, no_photo
from compress.networks.squeezenet import Fire, SqueezeNet

_POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)


@dataclass(frozen=True)
class LayerDescription:
    """One layer as it runs.

    Attributes:
        name: the module's.
        kind: `conv 3x3/2`, `max pool 3x3/2`, `mean`, ...
        output: height x width x channels; of the logits, their count alone.
        parameters: weights and biases; of a layer that runs twice, where it runs first.
        multiply_accumulates: for one photo.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    multiply_accumulates: int


def describe_network(architecture: str, classes: int, height: int, width: int) -> list[LayerDescription]:
    """Run a photo of no content through a network and describe its layers in order.

    Args:
        architecture: a key of `NETWORKS`.
        classes: how many the network tells apart.
        height: rows of the photo, pixels.
        width: its columns.
    Raises:
        ConfigError: there is no network of that name.
    """
    build(architecture, classes)  # names the nearest network where this one is unknown
    with torch.device("meta"):
        return _described(NETWORKS[architecture](classes).eval(), torch.empty(1, 3, height, width))


def describe_model(model: Model) -> list[LayerDescription]:
    """Describe the layers of a model's network, at the size of photos that it takes.

    Raises:
        ConfigError: the function that makes the network cannot be imported.
        WeightsError: the network cannot take photos as the model wants them, or its function is not trusted.
    """
    check_input(model)
    return _described(network_of(model), no_photo(model.preprocessing))


def _described(network: nn.Module, photo: Tensor) -> list[LayerDescription]:
    layers: list[LayerDescription] = []
    seen: set[int] = set()
    for name, module in network.named_modules():
        of_its_own = any(True for _ in module.parameters(recurse=False))
        if of_its_own or isinstance(module, (*_POOLS, Fire)):
            module.register_forward_hook(_describe(name, layers, seen))
    with torch.inference_mode():
        logits = network(photo)
    if isinstance(network, SqueezeNet):
        layers.append(LayerDescription("", "mean over the image", (1, 1, logits.shape[1]), 0, 0))
    return layers


def _describe(
    name: str, layers: list[LayerDescription], seen: set[int]
) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        shape = tuple(output.shape[1:])
        # A Fire module's own row shows what it puts out; its parameters are those of the three rows above.
        own = [parameter for parameter in module.parameters(recurse=False) if id(parameter) not in seen]
        seen.update(id(parameter) for parameter in own)
        macs = 0
        if isinstance(module, nn.Conv1d | nn.Conv2d):
            macs = math.prod(shape[1:]) * math.prod(module.weight.shape)
        elif isinstance(module, nn.Linear):
            macs = math.prod(shape[:-1]) * math.prod(module.weight.shape)
        parameters = sum(parameter.numel() for parameter in own)
        channels_last = (*shape[1:], shape[0]) if len(shape) == 3 else shape
        layers.append(LayerDescription(name, _kind(module), channels_last, parameters, macs))

    return hook


def _kind(module: nn.Module) -> str:
    if isinstance(module, nn.Conv2d):
        groups = "" if module.groups == 1 else f" in {module.groups} groups"
        return f"conv {module.kernel_size[0]}x{module.kernel_size[1]}" + _stride(module.stride[0]) + groups
    if isinstance(module, nn.MaxPool2d):
        return f"max pool {_side(module.kernel_size)}x{_side(module.kernel_size)}" + _stride(_side(module.stride))
    return type(module).__name__.lower()


def _side(size: int | tuple[int, ...]) -> int:
    return size if isinstance(size, int) else size[0]


def _stride(stride: int) -> str:
    return f"/{stride}" if stride > 1 else ""
