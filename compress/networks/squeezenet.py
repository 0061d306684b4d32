"""SqueezeNet v1.0 and v1.1 (Iandola et al. 2016, arXiv:1602.07360), with torchvision's module names."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Fire(nn.Module):
    """A 1x1 convolution to few channels, then a 1x1 and a 3x3 convolution side by side."""

    def __init__(self, inputs: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, inputs, h, w) to (n, 2 * expand, h, w)."""
        squeezed = self.squeeze(x).relu()
        return torch.cat([self.expand1x1(squeezed).relu(), self.expand3x3(squeezed).relu()], 1)


class SqueezeNet(nn.Module):
    """Feature layers with 512 output channels, a 1x1 convolution to the classes, and the mean over all positions."""

    def __init__(self, classes: int, *features: nn.Module) -> None:
        super().__init__()
        self.features = nn.Sequential(*features)
        # Torchvision has a Dropout at index 0 and a ReLU at index 2, so that the convolution is `classifier.1`.
        self.classifier = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(512, classes, 1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """Map photos (n, channels, h, w) to logits (n, classes)."""
        logits: Tensor = self.classifier(self.features(x)).mean((2, 3))
        return logits


def _pool() -> nn.Module:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


def squeezenet1_0(classes: int = 1000) -> SqueezeNet:
    """Return SqueezeNet v1.0: 96 filters of 7x7 first, pools after conv1, fire4 and fire8."""
    return SqueezeNet(
        classes,
        nn.Conv2d(3, 96, 7, stride=2), nn.ReLU(), _pool(),
        Fire(96, 16, 64), Fire(128, 16, 64), Fire(128, 32, 128), _pool(),
        Fire(256, 32, 128), Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), _pool(),
        Fire(512, 64, 256),
    )  # fmt: skip


def squeezenet1_1(classes: int = 1000) -> SqueezeNet:
    """Return SqueezeNet v1.1: 64 filters of 3x3 first, pools after conv1, fire3 and fire5."""
    return SqueezeNet(
        classes,
        nn.Conv2d(3, 64, 3, stride=2), nn.ReLU(), _pool(),
        Fire(64, 16, 64), Fire(128, 16, 64), _pool(),
        Fire(128, 32, 128), Fire(256, 32, 128), _pool(),
        Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256),
    )  # fmt: skip
