"""SqueezeNet v1.0 and v1.1 (Iandola et al. 2016, arXiv:1602.07360), modules named as torchvision names them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Fire(nn.Module):
    """Squeeze to few channels by 1x1, expand by 1x1 and 3x3 side by side."""

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
    """A stack of layers, a 1x1 convolution to the classes, and the mean over the image.

    Args:
        features: everything before the classifier; its last layer has 512 channels.
        classes: how many logits.
    """

    def __init__(self, features: nn.Sequential, classes: int) -> None:
        super().__init__()
        self.features = features
        # Places 0 and 2 hold torchvision's Dropout and ReLU; without them the convolution would have another name.
        self.classifier = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(512, classes, 1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """Map photos (n, channels, h, w) to logits (n, classes)."""
        logits: Tensor = self.classifier(self.features(x)).mean((2, 3))
        return logits


def _pool() -> nn.Module:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


def squeezenet1_0(classes: int = 1000) -> SqueezeNet:
    """SqueezeNet v1.0: 96 filters of 7x7 first, pools after conv1, fire4 and fire8."""
    return SqueezeNet(
        nn.Sequential(
            nn.Conv2d(3, 96, 7, stride=2),
            nn.ReLU(),
            _pool(),
            Fire(96, 16, 64),
            Fire(128, 16, 64),
            Fire(128, 32, 128),
            _pool(),
            Fire(256, 32, 128),
            Fire(256, 48, 192),
            Fire(384, 48, 192),
            Fire(384, 64, 256),
            _pool(),
            Fire(512, 64, 256),
        ),
        classes,
    )


def squeezenet1_1(classes: int = 1000) -> SqueezeNet:
    """SqueezeNet v1.1: the same accuracy for 2.4 times fewer multiplications; pools after conv1, fire3 and fire5."""
    return SqueezeNet(
        nn.Sequential(
            nn.Conv2d(3, 64, 3, stride=2),
            nn.ReLU(),
            _pool(),
            Fire(64, 16, 64),
            Fire(128, 16, 64),
            _pool(),
            Fire(128, 32, 128),
            Fire(256, 32, 128),
            _pool(),
            Fire(256, 48, 192),
            Fire(384, 48, 192),
            Fire(384, 64, 256),
            Fire(512, 64, 256),
        ),
        classes,
    )
