"""Networks whose outputs are not one tensor of logits for each photo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Segmentation(nn.Module):
    """Logits of classes for each pixel."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 12, 3, 2, 1), nn.ReLU())
        self.up = nn.Sequential(nn.ConvTranspose2d(12, 8, 4, 4), nn.ReLU())
        self.head = nn.Conv2d(8, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.up(self.down(x))) * 30  # so that photos make a difference


def segmentation(classes: int = 4) -> nn.Module:
    return Segmentation(classes)


class Heads(NamedTuple):
    logits: Tensor
    box: Tensor


class TwoHeads(nn.Module):
    """Logits and a box, as a tuple, or with names."""

    def __init__(self, named: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 12, 3, 2), nn.ReLU())
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.logits, self.box, self.named = nn.Linear(12, 10), nn.Linear(12, 4), named

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.pool(self.body(x))
        outputs = self.logits(x), self.box(x)
        return Heads(*outputs) if self.named else outputs


def two_heads(named: bool = False) -> nn.Module:
    network = TwoHeads(named)
    with torch.no_grad():
        network.logits.weight.mul_(20)
    return network


class Backbone(nn.Module):
    """Feature maps and logits for each pixel in a nested dictionary, beside whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.segmentation, self.auxiliary = Segmentation(5), nn.Conv2d(8, 5, 1)

    def forward(self, x: Tensor) -> Mapping[str, object]:
        first, out = torch.relu(self.segmentation.down[0](x)), self.segmentation(x)
        return {"out": out, "features": {"p1": first, "aux": self.auxiliary(first)}, "classes": out.argmax(1)}


def backbone() -> nn.Module:
    return Backbone()


def regression() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 1))


def fully_convolutional() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 5, 1))
