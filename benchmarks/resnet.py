"""ResNet-18 and ResNet-50 in plain torch, with random weights, for measurements of time and memory.

Weights have a Laplace distribution: as in trained networks, most are small, and bits can go to a few.

Source: He et al. 2016, "Deep residual learning for image recognition", arXiv:1512.03385, table 1; the stride of a
bottleneck is in its 3x3 convolution, as in torchvision.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

_WIDTHS = (64, 128, 256, 512)

MakeBlock = Callable[[int, int, int], nn.Sequential]
"""Makes the layers of a block from its input channels, its width and its stride."""


def resnet18(classes: int = 1000) -> nn.Module:
    """Return a ResNet-18: 11.7 million parameters for 1,000 classes."""
    return _resnet(_basic, (2, 2, 2, 2), 1, classes)


def resnet50(classes: int = 1000) -> nn.Module:
    """Return a ResNet-50: 25.6 million parameters for 1,000 classes."""
    return _resnet(_bottleneck, (3, 4, 6, 3), 4, classes)


class _Residual(nn.Module):
    """A block of layers, added to its input."""

    def __init__(self, block: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.block, self.shortcut, self.activation = block, shortcut, nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        activated: Tensor = self.activation(self.block(x) + self.shortcut(x))
        return activated


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs))


def _basic(inputs: int, width: int, stride: int) -> nn.Sequential:
    return nn.Sequential(_convolution(inputs, width, 3, stride), nn.ReLU(), _convolution(width, width, 3))


def _bottleneck(inputs: int, width: int, stride: int) -> nn.Sequential:
    layers = _convolution(inputs, width, 1), nn.ReLU(), _convolution(width, width, 3, stride), nn.ReLU()
    return nn.Sequential(*layers, _convolution(width, 4 * width, 1))


def _resnet(make_block: MakeBlock, depths: tuple[int, ...], expansion: int, classes: int) -> nn.Module:
    """Return the network of residual blocks; a block's output has `expansion` times its width in channels."""
    layers = [_convolution(3, _WIDTHS[0], 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    channels = _WIDTHS[0]
    for width, depth in zip(_WIDTHS, depths, strict=True):
        for number in range(depth):
            stride = 2 if number == 0 and width > _WIDTHS[0] else 1
            block, outputs = make_block(channels, width, stride), expansion * width
            same_shape = stride == 1 and channels == outputs
            layers.append(_Residual(block, nn.Identity() if same_shape else _convolution(channels, outputs, 1, stride)))
            channels = outputs
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))
    for weights in network.parameters():
        if weights.ndim > 1:
            _draw_weights(weights)
    return network


def _draw_weights(weights: Tensor) -> None:
    """Draw weights of mean 0 and of the deviation that torch gave them."""
    with torch.no_grad():
        weights.copy_(torch.distributions.Laplace(0.0, weights.std() / 2**0.5).sample(weights.shape))
