"""Networks whose programs have every operation that the runtime in C has, for photos of 17 x 14 pixels."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional

HEIGHT, WIDTH = 17, 14


class DenseNet(nn.Module):
    """Concatenations of concatenations, as in DenseNet: a map is read again and again."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 5, 3, padding=1)
        self.layers = nn.ModuleList(nn.Conv2d(5 + 3 * i, 3, 3, padding=1) for i in range(3))
        self.last = nn.Conv2d(28, 6, 1)

    def forward(self, x):
        joined = self.first(x)
        for layer in self.layers:
            joined = torch.cat([joined, layer(joined.relu())], 1)
        twice = torch.cat([joined, joined], 1)
        return self.last(twice).mean((2, 3))


class InputInConcatenation(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(7, 5, 3, padding=(2, 0))

    def forward(self, x):
        return self.last(torch.cat([self.conv(x), x], 1)).sigmoid().mean((2, 3))


class SumInPlace(nn.Module):
    """A sum in place, as at the end of torchvision's residual blocks; the shortcut is read by a convolution, too."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)

    def forward(self, x):
        x = self.first(x).relu()
        y = self.second(x)
        y += x
        return y.relu().mean((2, 3))


class PreActivation(nn.Module):
    """Batch norms that no layer before them can take, as in DenseNet; the input has one, and the head."""

    def __init__(self) -> None:
        super().__init__()
        self.start, self.first = nn.BatchNorm2d(3, affine=False), nn.Conv2d(3, 20, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(20 + 3 * i) for i in range(2))
        self.layers = nn.ModuleList(nn.Conv2d(20 + 3 * i, 3, 3, padding="same", dilation=2) for i in range(2))
        self.last, self.head = nn.BatchNorm1d(26, eps=1e-3), nn.Linear(26, 6)
        for norm in (self.start, *self.norms, self.last):
            norm.running_mean, norm.running_var = (
                torch.randn_like(norm.running_mean),
                torch.rand(norm.num_features) + 0.1,
            )
            if norm.affine:
                norm.weight.data, norm.bias.data = torch.randn_like(norm.weight), torch.randn_like(norm.bias)

    def forward(self, x):
        x = self.first(self.start(x))
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = torch.cat([x, layer(norm(x).relu())], 1)
        return self.head(self.last(x.mean(3).mean(2)))


class ShuffledHalves(nn.Module):
    """Halves of the channels, of which one is convolved, and a shuffle, as in ShuffleNet v2."""

    def __init__(self, groups: int, channels: int) -> None:
        super().__init__()
        self.first, self.groups = nn.Conv2d(3, channels, 3), groups
        self.branch = nn.Sequential(nn.Conv2d(channels // 2, channels // 2, 3, padding=1), nn.LeakyReLU(0.3))

    def forward(self, x):
        kept, changed = self.first(x).chunk(2, 1)
        x = torch.cat((kept, self.branch(changed)), 1)
        photos, channels, height, width = x.size()
        x = x.view(photos, self.groups, channels // self.groups, height, width).transpose(1, 2).contiguous()
        x = x.view(photos, channels, height, width)
        return functional.avg_pool2d(x[:, 1:], x.shape[2:]).flatten(1)


class PaddedShortcut(nn.Module):
    """A shortcut without weights, as in He et al. 2015, arXiv:1512.03385, option A; and activations made of numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 11, 3, 2, 1)

    def forward(self, x):
        x = self.first(x)
        x = x * functional.relu6(x + 3) / 6
        shortcut = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 3))
        y = torch.tanh(self.second(x) + shortcut) - 0.25
        return functional.log_softmax((1 - y + y.amax((2, 3), keepdim=True)).amax((2, 3)), 1)


class OwnTensors(nn.Module):
    """Tensors of the network's own: mean and std of the photos, one number for each channel, and one for all."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.4, 0.5, -0.6]))
        self.register_buffer("std", torch.tensor([0.3, 0.2, 0.7]), persistent=False)
        self.first, self.head = nn.Conv2d(3, 19, 3), nn.Linear(19, 7)
        self.gamma, self.scale = nn.Parameter(torch.randn(19, 1, 1)), nn.Parameter(torch.tensor(0.7))
        self.bias, self.slopes = nn.Parameter(torch.randn(7)), nn.Parameter(torch.rand(19) - 0.5)

    def forward(self, x):
        x = torch.cat([x[:, number].unsqueeze(1) * (0.5 + number) - 0.1 for number in (2, 0, 1)], 1)
        x = self.first((x - self.mean.view(1, -1, 1, 1).to(x.device)) / self.std[:, None, None].type_as(x))
        x = functional.prelu(x * self.gamma + x, self.slopes) * self.scale
        x = x + self.gamma * torch.tensor(2.0)[None].neg().abs().sub(1)
        return self.head(x.mean((2, 3))) - self.bias


class Differences(nn.Module):
    """Differences and quotients of maps, of which either may have one position."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 9, 3), nn.Conv2d(3, 9, 3)

    def forward(self, x):
        a, b = self.first(x), self.second(x)
        center, spread = a.mean((2, 3), keepdim=True), (a - a.mean((2, 3), keepdim=True)) ** 2
        a = (a - center) / (spread.mean((2, 3), keepdim=True) + 0.1)
        a = center - a + 2 / (b.abs() + 1) - center / (b.square() + 0.5)
        sums = (b.sum((2, 3))[:, :, None, None] * b).flatten(2).sum(2) / 10
        return (a.sub_(b).mean((2, 3)) - center.flatten(1)) / 3 + sums / 100


def layers(*parts: nn.Module) -> nn.Module:
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def norm_without_bias(channels: int) -> nn.BatchNorm2d:
    """Return a norm with other numbers than those of a new one."""
    norm = nn.BatchNorm2d(channels)
    norm.register_parameter("bias", None)  # as the argument `bias` of later versions of torch
    generator = torch.Generator().manual_seed(channels)
    for numbers in (norm.weight.data, norm.running_mean):
        numbers.normal_(generator=generator)
    return norm


def with_slopes(channels: int) -> nn.PReLU:
    layer = nn.PReLU(channels)
    layer.weight.data = torch.randn(channels)
    return layer


PADDED_SHORTCUT = PaddedShortcut()
NETWORKS = {
    "batch norms that are not folded": (PreActivation(), 6),
    "batch norms without a bias": (
        layers(norm_without_bias(3), nn.ReLU(), nn.Conv2d(3, 19, 3), norm_without_bias(19), nn.Conv2d(19, 4, 1)), 4,
    ),
    "a channel shuffle": (ShuffledHalves(2, 12), 11),
    "a channel shuffle of many groups": (ShuffledHalves(17, 34), 33),
    "padding of one side": (layers(nn.ZeroPad2d((0, 1, 2, 0)), nn.Conv2d(3, 5, (2, 4), padding="same"), nn.ReLU()), 5),
    "adaptive pools": (layers(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d((5, 4)), nn.AdaptiveMaxPool2d(1)), 5),
    "concatenations of concatenations": (DenseNet(), 6),
    "the input in a concatenation": (InputInConcatenation(), 5),
    "a sum in place": (SumInPlace(), 6),
    "groups": (layers(nn.Conv2d(3, 40, 3), nn.Conv2d(40, 36, 3, groups=2), nn.Conv2d(36, 8, 1, groups=4)), 8),
    "depthwise": (layers(nn.Conv2d(3, 21, 1), nn.Conv2d(21, 21, (3, 5), 2, 2, groups=21), nn.Hardswish()), 21),
    "two filters a channel": (layers(nn.Conv2d(3, 6, 3, padding=1, groups=3)), 6),
    "dilation": (layers(nn.Conv2d(3, 18, 3, padding=(2, 3), dilation=(2, 3), bias=False), nn.ReLU6()), 18),
    "one-sided kernels": (layers(nn.Conv2d(3, 9, (1, 5), (1, 2), (0, 2)), nn.Conv2d(9, 5, (4, 1), (3, 1))), 5),
    "max pools": (layers(nn.MaxPool2d(3, 2, 1), nn.MaxPool2d((2, 3), (2, 1), ceil_mode=True), nn.Conv2d(3, 4, 1)), 4),
    "average pools": (
        layers(nn.AvgPool2d(3, 2, 1), nn.AvgPool2d((2, 4), 1, (1, 2), count_include_pad=False), nn.Conv2d(3, 4, 1)), 4,
    ),
    "a flat map": (nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.Flatten(), nn.ReLU(), nn.Linear(4 * 8 * 6, 19)), 19),
    "linear layers": (nn.Sequential(nn.Flatten(), nn.Linear(714, 9), nn.SiLU(), nn.Linear(9, 2, bias=False)), 2),
    "activations": (layers(nn.Hardsigmoid(), nn.Conv2d(3, 4, 1), nn.SiLU(), nn.Sigmoid(), nn.Hardswish()), 4),
    "GELU": (layers(nn.Conv2d(3, 21, 3), nn.GELU(), nn.Conv2d(21, 5, 1), nn.GELU("tanh")), 5),
    "exponentials": (layers(nn.ELU(0.7), nn.Conv2d(3, 20, 3), nn.SELU(), nn.Conv2d(20, 5, 1), nn.CELU(0.3)), 5),
    "Mish and limits": (layers(nn.Conv2d(3, 20, 3), nn.Mish(), nn.Hardtanh(-0.25, 0.5), nn.Conv2d(20, 5, 3)), 5),
    "slopes by channel": (layers(nn.Conv2d(3, 35, 3), with_slopes(35), nn.Conv2d(35, 5, 3), with_slopes(1)), 5),
    "slopes of a vector": (nn.Sequential(nn.Flatten(), nn.Linear(714, 33), with_slopes(33), nn.Linear(33, 3)), 3),
    "tensors of the network's own": (OwnTensors(), 7),
    "differences and quotients": (Differences(), 9),
}  # fmt: skip
"""Networks by name, and the number of their classes."""


def make(name: str) -> nn.Module:
    """Return one of the networks, or that with a log-softmax, for sources of weights."""
    return copy.deepcopy(NETWORKS[name][0] if name in NETWORKS else PADDED_SHORTCUT)
