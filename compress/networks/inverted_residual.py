"""Networks of inverted residual blocks, such as MobileNetV2 and MCUNet, with ProxylessNAS' module names.

A block expands its input to many channels with a 1x1 convolution, filters each channel by itself (a depthwise
convolution), and projects to few channels with another 1x1 convolution.
Source: Sandler et al. 2018, arXiv:1801.04381; Lin et al. 2020 (MCUNet), arXiv:2007.10319.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Annotated, NamedTuple

from pydantic import Field, JsonValue, TypeAdapter
from torch import Tensor, nn

_MAX_WEIGHTS = 100_000_000

_Size = Annotated[int, Field(ge=1, le=4096)]
_Kernel = Annotated[int, Field(ge=1, le=31)]
_Stride = Annotated[int, Field(ge=1, le=4)]


class Block(NamedTuple):
    """One inverted residual block.

    Attributes:
        kernel: height and width of the depthwise filters.
        stride: of the depthwise convolution.
        middle: channels of the depthwise convolution; as many as come in: the block does not expand them.
        channels: that go out.
        shortcut: whether the block adds its input to its output.
    """

    kernel: _Kernel
    stride: _Stride
    middle: _Size
    channels: _Size
    shortcut: bool


class Chain(NamedTuple):
    """A network of inverted residual blocks.

    Attributes:
        stem: kernel, stride and channels of the first convolution.
        blocks: in order.
        head: channels of the 1x1 convolution after the last block; 0: there is none.
        classes: number of logits.
        channels: of the photos.
        epsilon: added to the variance by batch norms; None: torch's.
    """

    stem: tuple[_Kernel, _Stride, _Size]
    blocks: Annotated[list[Block], Field(min_length=1, max_length=100)]
    head: Annotated[int, Field(ge=0, le=4096)]
    classes: Annotated[int, Field(ge=1, le=100_000)]
    channels: Annotated[int, Field(ge=1, le=4)] = 3
    epsilon: Annotated[float, Field(gt=0, le=1)] | None = None

    @property
    def weights(self) -> int:
        """Number of weights of the convolutions and the linear layer."""
        kernel, _, width = self.stem
        count = self.channels * width * kernel**2
        for block in self.blocks:
            count += block.middle * (width * (block.middle != width) + block.kernel**2 + block.channels)
            width = block.channels
        return count + width * self.head + (self.head or width) * self.classes


def inverted_residual_network(**chain: JsonValue) -> InvertedResidualNetwork:
    """Return the network with the attributes of a `Chain` as JSON values.

    Raises:
        ValueError: they are not those of a chain, or of one too large: a file may name any.
    """
    checked = TypeAdapter(Chain).validate_python(chain)
    if checked.weights > _MAX_WEIGHTS:
        raise ValueError(f"the network has {checked.weights:,} weights (allowed: up to {_MAX_WEIGHTS:,})")
    network = InvertedResidualNetwork(checked)
    for module in network.modules():
        if checked.epsilon and isinstance(module, nn.BatchNorm2d):
            module.eps = checked.epsilon
    return network


class InvertedResidualNetwork(nn.Module):
    """A first convolution, inverted residual blocks, the mean over all positions, and a linear layer."""

    def __init__(self, chain: Chain) -> None:
        super().__init__()
        kernel, stride, width = chain.stem
        self.first_conv = _convolution(chain.channels, width, kernel, stride)
        blocks: list[nn.Module] = []
        for block in chain.blocks:
            blocks.append(_InvertedResidual(width, block))
            width = block.channels
        self.blocks = nn.Sequential(*blocks)
        self.feature_mix_layer = _convolution(width, chain.head) if chain.head else nn.Identity()
        self.classifier = nn.Sequential(OrderedDict(linear=nn.Linear(chain.head or width, chain.classes)))

    def forward(self, x: Tensor) -> Tensor:
        """Map photos (n, channels, height, width) to logits (n, classes)."""
        features = self.feature_mix_layer(self.blocks(self.first_conv(x)))
        logits: Tensor = self.classifier(features.mean((2, 3)))
        return logits


class _InvertedResidual(nn.Module):
    def __init__(self, width: int, block: Block) -> None:
        super().__init__()
        kernel, stride, middle, channels, self.shortcut = block
        if self.shortcut and (stride, channels) != (1, width):
            raise ValueError(f"a shortcut needs stride 1 and as many channels as come in, {width}: {block}")
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        if middle != width:
            parts["inverted_bottleneck"] = _convolution(width, middle)
        parts["depth_conv"] = _convolution(middle, middle, kernel, stride, groups=middle)
        parts["point_linear"] = _convolution(middle, channels, activation=False)
        self.mobile_inverted_conv = nn.Sequential(parts)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.mobile_inverted_conv(x)
        return x + y if self.shortcut else y


def _convolution(
    width: int, channels: int, kernel: int = 1, stride: int = 1, groups: int = 1, *, activation: bool = True
) -> nn.Module:
    convolution = nn.Conv2d(width, channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    parts: OrderedDict[str, nn.Module] = OrderedDict(conv=convolution, bn=nn.BatchNorm2d(channels))
    if activation:
        parts["act"] = nn.ReLU6()
    return nn.Sequential(parts)
