"""Networks as users bring them: a ResNet, a MobileNet, and networks with unusual layers."""

from __future__ import annotations

import os
import signal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, as in He et al. 2015, arXiv:1512.03385, figure 2."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = nn.Sequential()
        if inputs != outputs or stride > 1:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))) + self.downsample(x))


def resnet18(classes: int = 1000, width: int = 64) -> nn.Module:
    """ResNet-18 of the paper's table 1, which has width 64."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    layers.append(nn.MaxPool2d(3, 2, 1))
    inputs = width
    for stage in range(4):
        for block in range(2):
            outputs = width << stage
            layers.append(ResidualBlock(inputs, outputs, 2 if stage and not block else 1))
            inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))


def three_convolutions() -> nn.Module:
    """Convolutions whose channels can be scaled and reordered."""
    convolutions = (nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 12, 3), nn.ReLU(), nn.Conv2d(12, 10, 1))
    return nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def gray_convolution() -> nn.Module:
    """A network for gray photos."""
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution and projection, as in Sandler et al. 2018, arXiv:1801.04381, figure 4."""

    def __init__(self, inputs: int, outputs: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = inputs * expand
        self.steps = nn.Sequential(
            nn.Conv2d(inputs, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU6(),
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False), nn.BatchNorm2d(hidden), nn.ReLU6(),
            nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs),
        )  # fmt: skip
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.steps(x) if self.adds else self.steps(x)


def mobilenet(classes: int = 10, norms: bool = True) -> nn.Module:
    """A small MobileNet v2. Without norms, a photo's logits do not depend on the other photos of a training batch."""
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(),
        InvertedResidual(8, 12, 1, 2), InvertedResidual(12, 16, 2, 3),
        InvertedResidual(16, 16, 1, 3), InvertedResidual(16, 24, 2, 3),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(24, classes),
    )  # fmt: skip
    for module in network.modules():
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d) and not norms:
                setattr(module, name, nn.Identity())
    return network


class MixedLayers(nn.Module):
    """Layers that run twice, share a weight, have groups or unusual padding, or read windows of each photo."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding="same", padding_mode="reflect")
        self.twice = nn.Conv2d(8, 8, 3, padding=1, groups=4)
        self.thin = nn.Conv2d(8, 8, (1, 3), stride=(1, 2), dilation=(1, 2), groups=8, bias=False)
        self.along = nn.Conv1d(8, 8, 3, padding=1, groups=2)
        self.tied = nn.Linear(8, 8, bias=False)
        self.also_tied = nn.Linear(8, 8)
        self.also_tied.weight = self.tied.weight
        self.positions = nn.Parameter(torch.randn(1, 8, 4, 4) / 10)
        self.register_buffer("order", torch.tensor([3, 1, 0, 2, 7, 6, 5, 4]))
        self.unused = nn.Linear(3, 3)
        self.head = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.first(x))
        x = torch.tanh(self.twice(torch.tanh(self.twice(x))))
        x = torch.tanh(self.thin(x))[:, :, :4, :4] + self.positions
        x = torch.tanh(self.along(x.flatten(2)))[:, self.order]
        windows = x.transpose(1, 2).reshape(-1, 4, 8)  # four windows of each photo
        windows = torch.tanh(self.also_tied(torch.tanh(self.tied(windows))))
        return self.head(windows.reshape(len(x), -1, 8).mean(1))


def mixed_layers(classes: int = 5) -> nn.Module:
    return MixedLayers(classes)


def raises_error(**_: object) -> nn.Module:
    raise ValueError("no, thanks")


def returns_text() -> str:
    return "a network"


def returns_feature_map() -> nn.Module:
    return nn.Conv2d(3, 4, 3)


class SqueezeExcitation(nn.Module):
    """Channels scaled by a gate, as in Hu et al. 2018, arXiv:1709.01507, with many kinds of activation."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.Hardswish(), nn.AvgPool2d(2, padding=1), nn.SiLU())
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d((1, 1)), nn.Conv2d(8, 8, 1), nn.Hardsigmoid())
        self.hidden, self.norm, self.head = nn.Linear(8, 6), nn.BatchNorm1d(6), nn.Linear(6, classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.relu(x * self.gate(x)) + x
        return self.head(torch.sigmoid(self.norm(self.hidden(torch.flatten(x.mean((2, 3)), 1)))))


def squeeze_excitation(classes: int = 4) -> nn.Module:
    return SqueezeExcitation(classes)


def softplus_network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softplus(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def weight_normed_network() -> nn.Module:
    convolution = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))
    return nn.Sequential(convolution, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))


class KilledNetwork(nn.Module):
    """Kills its process in the 41st call, unless it is the first process."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(8, 10)
        self.calls_left = 40

    def forward(self, x: Tensor) -> Tensor:
        self.calls_left -= 1
        if self.calls_left < 0 and os.environ.get("RANK") == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        return self.head(self.layers(x))


class SmallNetwork(nn.Module):
    """Two convolutions and a linear layer for gray photos, and one unusual thing."""

    def __init__(self, change: str = "") -> None:
        super().__init__()
        self.change = change
        self.first, self.second, self.head = nn.Conv2d(1, 8, 3, 2, 1), nn.Conv2d(8, 12, 3, 2, 1), nn.Linear(12, 10)
        if change == "transposed":
            self.second = nn.ConvTranspose2d(8, 12, 3, 2, 1)
        if change == "padding in forward":
            self.second = ConvolutionWithPadding(8, 12, 3, 2)
        nn.init.normal_(self.head.weight)
        if change == "frozen":
            self.requires_grad_(False)
        if change == "weight of the parent":
            self.kernel = self.first.weight
        if change.startswith("old"):
            getattr(torch.nn.utils, change.removeprefix("old "))(self.second)
        elif change.endswith("norm"):
            getattr(torch.nn.utils.parametrizations, change)(self.second)
        for _ in range(50 if change == "old spectral_norm" else 0):
            self.second(torch.zeros(1, 8, 2, 2))  # each call in training mode brings the norm nearer to its final value

    def forward(self, x: Tensor) -> Tensor:
        if self.change == "input in place":
            x.mul_(2).sub_(0.5)
        if self.change == "fails on dark photos" and x.amax((1, 2, 3)).min() < -1:
            raise IndexError("too dark")
        with (
            torch.set_grad_enabled(torch.is_grad_enabled() and self.change != "no_grad"),
            torch.autocast("cpu", torch.bfloat16, enabled=self.change == "autocast"),
        ):
            if self.change == "recomputed activations":
                x = checkpoint(self._features, x, use_reentrant=False)
            else:
                x = self._features(x)
            return self.head(x).float()

    def _features(self, x: Tensor) -> Tensor:
        return torch.relu(self.second(torch.relu(self.first(x)))).mean((2, 3))


class ConvolutionWithPadding(nn.Conv2d):
    """Pads its photos by itself, as EfficientNets from TensorFlow do."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(functional.pad(x, [0, 1, 0, 1]), self.weight, self.bias, self.stride)


class FunctionalNetwork(nn.Module):
    """A linear layer that is written as a product."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(10, 1024) / 32)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.kernel.T


class SpatialNetwork(nn.Module):
    """Reads a photo as a volume of one slice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv3d(1, 4, 3, 2, 1), nn.ConvTranspose3d(4, 6, 2), nn.Linear(6, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.second(torch.relu(self.first(x.unsqueeze(2))))).mean((2, 3, 4)))


class SilentTraining(SmallNetwork):
    """Freezes a layer in training mode, and returns nothing, as many a `train` does."""

    def train(self, mode: bool = True) -> None:  # type: ignore[override]
        super().train(mode)
        self.first.eval()


class OtherPrecision(SmallNetwork):
    """Returns its logits in bfloat16, as networks for training on GPUs do."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).bfloat16()


class CalledByKeyword(SmallNetwork):
    """Calls its layers by keyword, on each photo without a batch dimension."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.logits(photo) for photo in x])

    def logits(self, photo: Tensor) -> Tensor:
        features = torch.relu(self.second(input=torch.relu(self.first(input=photo))))
        return self.head(input=features.mean((1, 2)))


class Vectorized(SmallNetwork):
    """Maps a function of one photo over the batch."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.vmap(lambda photo: super(Vectorized, self).forward(photo[None])[0])(x)


class WithoutBackward(torch.autograd.Function):
    @staticmethod
    def forward(_, x: Tensor) -> Tensor:
        return x * x.sigmoid()


class Gradientless(SmallNetwork):
    """An operation without gradients, or one that changes a value in place that the gradient needs."""

    def _features(self, x: Tensor) -> Tensor:
        x = self.second(torch.relu(self.first(x)))
        x = WithoutBackward.apply(x) if self.change == "no backward" else torch.sigmoid(x).mul_(2)
        return x.mean((2, 3))


class WholeNumbers(SmallNetwork):
    """Keeps the order of its features in a parameter of whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.order = nn.Parameter(torch.arange(11, -1, -1), requires_grad=False)

    def _features(self, x: Tensor) -> Tensor:
        return super()._features(x)[:, self.order]


class PartInTorchScript(SmallNetwork):
    def __init__(self) -> None:
        super().__init__()
        self.first = torch.jit.script(self.first)


USES = {
    "vmap": Vectorized,
    "whole numbers": WholeNumbers,
    "TorchScript": PartInTorchScript,
    "silent training": SilentTraining,
    "bfloat16 logits": OtherPrecision,
    "by keyword": CalledByKeyword,
}


def small_network(change: str) -> nn.Module:
    if change in {"no backward", "sigmoid in place"}:
        return Gradientless(change)
    if change in USES:
        return USES[change]()
    if change == "three dimensions":
        return SpatialNetwork()
    if change == "wrapped":
        return nn.DataParallel(torch.compile(SmallNetwork(change)))  # type: ignore[arg-type]
    if change == "lazy":
        return nn.Sequential(nn.LazyConv2d(4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(10))
    return FunctionalNetwork() if change == "functional" else SmallNetwork(change)


class GradientFreeNetwork(SmallNetwork):
    """Runs without gradients."""

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


class TupleInTraining(SmallNetwork):
    """Returns auxiliary logits too, but in training mode only."""

    def __init__(self, as_dict: bool = False) -> None:
        super().__init__()
        self.as_dict = as_dict

    def forward(self, x: Tensor) -> object:
        logits = super().forward(x)
        if not self.training:
            return logits
        return {"out": logits} if self.as_dict else (logits, logits)


class Functions(nn.Module):
    """Pools, means, dropout and reshapes as functions and methods; linear layers gate the channels."""

    def __init__(self, side: int) -> None:
        super().__init__()
        pooled = (side + 1) // 2 // 3
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.squeeze, self.excite, self.head = nn.Linear(8, 4), nn.Linear(4, 8), nn.Linear(2 * 8 * pooled**2, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(torch.relu(self.first(x)), 3, stride=2, padding=1)
        gate = torch.sigmoid(self.excite(functional.relu(self.squeeze(x.mean([2, 3])))))
        x = x + self.second(x) * gate.view(x.size(0), -1, 1, 1)
        mean = functional.adaptive_avg_pool2d(x, 1)
        x = torch.concat([x * torch.mean(x, dim=(-2, -1), keepdim=True), mean * x], dim=1)
        x = functional.avg_pool2d(x, 3)
        return self.head(functional.dropout(x.reshape(x.shape[0], -1), 0.2, self.training))


def functions(side: int) -> nn.Module:
    return Functions(side)


class ViewingNetwork(nn.Module):
    """Views its feature map as rows, which needs torch's default memory format."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(channels, 4, 5, 4), nn.Conv2d(4, 6, 1), nn.Linear(6 * 49, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.second(torch.relu(self.first(x))))
        return self.head(x.view(x.size(0), -1))


def viewing_network(channels: int = 1) -> nn.Module:
    return ViewingNetwork(channels)


class StridedNetwork(nn.Module):
    """Reads every second pixel by the strides of torch's default memory format."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 5, 4), nn.ReLU(), nn.Flatten(), nn.Linear(72, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.as_strided((len(x), 3, 16, 16), (3 * 32 * 32, 32 * 32, 64, 2)))


def strided_network() -> nn.Module:
    return StridedNetwork()


class RecurrentNetwork(nn.Module):
    """Reads the rows of a photo one after another."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.recurrent, self.head = getattr(nn, kind)(32, 16, batch_first=True), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.recurrent(x[:, 0])[0][:, -1])


def recurrent_network(kind: str) -> nn.Module:
    return RecurrentNetwork(kind)


class VisionTransformer(nn.Module):
    """Attention over patches, as in Dosovitskiy et al. 2021, arXiv:2010.11929, with a table of positions."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.positions, self.head = nn.Conv2d(1, 16, 8, 8), nn.Embedding(16, 16), nn.Linear(16, 10)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 24, dropout=0.0, batch_first=True), 1)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.patches(x).flatten(2).transpose(1, 2)
        return self.head(self.encoder(patches + self.positions(torch.arange(16, device=x.device))).mean(1))


def vision_transformer() -> nn.Module:
    return VisionTransformer()


class GatedNetwork(nn.Module):
    """A layer `gate` that gradients do not reach, as in mixtures of experts and networks with hard attention."""

    def __init__(self, use: str) -> None:
        super().__init__()
        self.use = use
        self.features, self.gate, self.head = nn.Conv2d(1, 12, 3, 2, 1), nn.Linear(12, 12), nn.Linear(12, 10)
        nn.init.normal_(self.head.weight)

    def forward(self, x: Tensor) -> Tensor:
        features = torch.relu(self.features(x)).mean((2, 3))
        if self.use == "for photos of zeros":
            return self.head(features if x.any() else features + self.gate(features))
        gate = self.gate(features)
        if self.use == "sign":
            return self.head(features * gate.sign())
        if self.use == "argmax":
            return self.head(features * functional.one_hot(gate.argmax(1), 12))
        return self.head(features)  # the gate is dropped


class HeadOfEachMode(nn.Module):
    """Answers with another head than the one that it trains, whose weights get no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head, self.average = nn.Conv2d(3, 8, 3, 2), nn.Linear(8, 10), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        return (self.head if self.training else self.average)(torch.relu(self.first(x)).mean((2, 3)))


class Experts(nn.Module):
    """Hands each photo to one of several convolutions, by its brightness; those without photos do not run."""

    def __init__(self, bounds: list[float]) -> None:
        super().__init__()
        self.bounds = bounds
        self.first, self.head = nn.Conv2d(3, 8, 3, 2), nn.Linear(12, 10)
        self.experts = nn.ModuleList(nn.Conv2d(8, 12, 3, 2) for _ in range(len(bounds) + 1))

    def forward(self, x: Tensor) -> Tensor:
        chosen = torch.bucketize(x.mean((1, 2, 3)), x.new_tensor(self.bounds))
        features = torch.relu(self.first(x))
        parts = [(chosen == index).nonzero()[:, 0] for index in range(len(self.experts))]
        results = [expert(features[part]) for expert, part in zip(self.experts, parts, strict=True)]
        together = torch.cat(results)[torch.cat(parts).argsort()]
        return self.head(torch.relu(together).mean((2, 3)))
