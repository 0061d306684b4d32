"""Another network than the float one to learn from: it sees the same photos in its own way."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from compress.errors import ConfigError
from compress.model import Model, Preprocessing
from compress.networks.modules import to_module

_GREY = (0.299, 0.587, 0.114)
"""What red, green and blue count for in grey (ITU-R BT.601), as Pillow has it."""


def teacher_for(model: Model, teacher: Model) -> nn.Module:
    """Return a network that takes the inputs of another.

    Args:
        model: whose inputs it is to take.
        teacher: the network.
    Raises:
        ConfigError: the two tell different numbers of classes apart.
    """
    if teacher.classes != model.classes:
        raise ConfigError(
            f"the teacher tells {teacher.classes:,} classes apart, and the network {model.classes:,}", key="teacher"
        )
    network = to_module(teacher)
    if teacher.preprocessing == model.preprocessing:
        return network
    return _Adapted(network, model.preprocessing, teacher.preprocessing).eval()


class _Adapted(nn.Module):
    """A network that is given inputs as another takes them, and sees what that one sees at its own size."""

    def __init__(self, network: nn.Module, given: Preprocessing, own: Preprocessing) -> None:
        super().__init__()
        self.network, self.given, self.own = network, given, own

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs (n, channels, height, width), prepared as `given` says, to logits (n, classes)."""
        given, own = self.given, self.own
        pixels = (inputs * _along(inputs, given.deviation) + _along(inputs, given.mean)) / given.scale
        pixels = _in_order(pixels, given.channels, own.channels)
        size = own.height, own.width
        if pixels.shape[2:] != size:
            pixels = functional.interpolate(pixels, size, mode="bilinear", align_corners=False, antialias=True)
        prepared = (pixels * own.scale - _along(pixels, own.mean)) / _along(pixels, own.deviation)
        logits: Tensor = self.network(prepared)
        return logits


def _in_order(pixels: Tensor, given: str, wanted: str) -> Tensor:
    """Bring channels from one order to another."""
    if given == wanted:
        return pixels
    if given == "L":
        return pixels.expand(-1, 3, -1, -1)
    red_first = pixels if given == "RGB" else pixels.flip(1)
    if wanted == "L":
        return (red_first * _along(pixels, _GREY)).sum(1, keepdim=True)
    return red_first if wanted == "RGB" else red_first.flip(1)


def _along(like: Tensor, values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None, None]
