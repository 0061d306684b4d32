"""What a network is made of."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from compress.networks import NETWORKS, build
from compress.networks.squeezenet import Fire


@dataclass(frozen=True)
class LayerDescription:
    """One layer as it runs.

    Attributes:
        name: the module's.
        kind: `conv 3x3/2`, `max pool 3x3/2`, `mean`, ...
        output: height x width x channels; of the logits, their count alone.
        parameters: weights and biases.
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
    layers: list[LayerDescription] = []
    with torch.device("meta"), torch.inference_mode():
        network = NETWORKS[architecture](classes).eval()
        for name, module in network.named_modules():
            if isinstance(module, nn.Conv2d | nn.MaxPool2d | Fire):
                module.register_forward_hook(_describe(name, layers))
        logits = network(torch.empty(1, 3, height, width))
    layers.append(LayerDescription("", "mean over the image", (1, 1, logits.shape[1]), 0, 0))
    return layers


def _describe(name: str, layers: list[LayerDescription]) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        _, channels, height, width = output.shape
        # A Fire module's own row shows what it puts out; its parameters are those of the three rows above.
        parameters = 0 if isinstance(module, Fire) else sum(parameter.numel() for parameter in module.parameters())
        macs = 0
        if isinstance(module, nn.Conv2d):
            macs = height * width * math.prod(module.weight.shape)
        layers.append(LayerDescription(name, _kind(module), (height, width, channels), parameters, macs))

    return hook


def _kind(module: nn.Module) -> str:
    if isinstance(module, nn.Conv2d):
        return f"conv {module.kernel_size[0]}x{module.kernel_size[1]}" + _stride(module.stride[0])
    if isinstance(module, nn.MaxPool2d):
        return f"max pool {_side(module.kernel_size)}x{_side(module.kernel_size)}" + _stride(_side(module.stride))
    return type(module).__name__.lower()


def _side(size: int | tuple[int, ...]) -> int:
    return size if isinstance(size, int) else size[0]


def _stride(stride: int) -> str:
    return f"/{stride}" if stride > 1 else ""
