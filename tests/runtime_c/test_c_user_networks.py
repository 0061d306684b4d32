"""The runtime in C runs networks of the user's own by the programs in their files, and checks every field of them."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from c_network import MODES, Driver, Refused, assert_same
from PIL import Image
from skimage import data
from torch import nn
from torch.nn import functional

from compress.codecs.primitives.varint import encode_varint
from compress.container.file import encode
from compress.model import Model, Preprocessing
from compress.networks.modules import as_dense, stored_tensors
from compress.networks.program import network_program
from compress.tensors.forms import Dense, Shared
from compress.tensors.levels import levels_codebook
from compress.weights.user_network import UserNetwork

CAT = Image.fromarray(data.chelsea())
INPUT = Preprocessing(17, 14, "squash", "RGB", 1 / 64, (2.0, 1.9, 1.8), (1.0, 0.9, 1.1))


def model_of(network: nn.Module, classes: int, preprocessing: Preprocessing = INPUT) -> Model:
    tensors = {name: as_dense(tensor) for name, tensor in stored_tensors(network.eval()).items()}
    return Model("networks:make", classes, preprocessing, tensors, (), network_program(network, preprocessing))


@pytest.mark.parametrize(
    ("function", "args", "side"),
    [
        ("resnet18", {"classes": 7, "width": 4}, 40),
        ("mobilenet", {}, 33),
        ("squeeze_excitation", {}, 21),
        ("functions", {"side": 21}, 21),
    ],
)
@pytest.mark.parametrize("fold_batch_norm", [True, False])
def test_networks_of_users_give_torchs_logits(driver: Driver, function, args, side, fold_batch_norm):
    source = UserNetwork(
        factory=f"user_networks:{function}", args=args, fold_batch_norm=fold_batch_norm, input_size=side
    )
    assert_same(driver, source.load(), CAT)


def test_a_head_of_a_network_gives_torchs_logits(driver: Driver):
    assert_same(driver, UserNetwork(factory="output_networks:two_heads", input_size=33, outputs=0).load(), CAT)


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


def layers(*parts: nn.Module) -> nn.Module:
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten())


NETWORKS = {
    "batch norms that are not folded": (PreActivation(), 6),
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
}  # fmt: skip


@pytest.mark.parametrize(("network", "classes"), NETWORKS.values(), ids=NETWORKS)
def test_every_operation_gives_torchs_result(driver: Driver, network, classes):
    assert_same(driver, model_of(network, classes), CAT, network)


def test_logits_are_those_before_a_log_softmax_at_the_end(driver: Driver):
    """Their softmax is the same."""
    network = PaddedShortcut().eval()
    model, inputs = model_of(network, 11), np.random.default_rng(0).normal(size=(1, 3, 17, 14)).astype(np.float32)
    with torch.inference_mode():
        expected = network(torch.from_numpy(inputs))[0]
    for mode in MODES:
        logits = driver.run(encode(model), inputs.transpose(0, 2, 3, 1).tobytes(), mode)
        found = torch.from_numpy(logits.copy()).log_softmax(0)
        assert torch.allclose(found, expected, rtol=0, atol=1e-5)


def test_a_bias_may_need_a_larger_workspace_than_the_weights(driver: Driver):
    """Its coded values are decoded to the workspace; weights of even frequencies are in `raw`, which needs none."""
    indices = np.random.default_rng(0).integers(0, 256, (400, 3, 1, 1), dtype=np.uint16)
    weight = Shared(levels_codebook(256), indices, row_exponents=np.full(400, -40, np.int8))
    bias = Dense(np.linspace(-1, 1, 400, dtype=np.float32))
    network = layers(nn.Conv2d(3, 400, 1))
    network.load_state_dict({"0.weight": torch.tensor(weight.to_dense()), "0.bias": torch.tensor(bias.values)})
    model = replace(model_of(network, 400), tensors={"0.weight": weight, "0.bias": bias})
    assert_same(driver, model, CAT, network, ["raw", "context"])


def test_a_network_without_layers_needs_the_workspace_of_its_header(driver: Driver):
    even = Preprocessing(9, 9, "squash", "RGB", 1.0, (0.0,) * 3, (1.0,) * 3)
    model = replace(small_model(), classes=3, preprocessing=even, program=program_of(MEAN))
    assert encode(model)[9] == 1  # the header is compressed
    assert_same(driver, model, CAT, layers())


def test_gray_input(driver: Driver):
    network = layers(nn.Conv2d(1, 6, 3, 2), nn.ReLU())
    gray = Preprocessing(20, 21, "crop", "L", 1 / 255, (0.5,), (0.3,), short_side=25)
    assert_same(driver, model_of(network, 6, gray), CAT, network)


GOOD = [[0, 1, 1, 0, 2, 1, 2, 2, 1, 1, 1, 1], [2, 0, 1, 3, 3, 2, 2, 0, 0, 1], [4, 0, 1]]
"""A convolution with ReLU, a max pool and the mean."""


def small_model() -> Model:
    torch.manual_seed(0)
    return model_of(layers(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True)), 6)


def program_of(*operations: list[int]) -> bytes:
    numbers = [len(operations), *(number for operation in operations for number in operation)]
    return b"".join(map(encode_varint, numbers))


def changed(operation: int, field: int, number: int) -> bytes:
    operations = [list(each) for each in GOOD]
    operations[operation][field] = number
    return program_of(*operations)


CONV, POOL, MEAN = GOOD
BAD = {
    "no operation": program_of(),
    "fewer operations than it says": program_of(*GOOD)[:-3],
    "more operations than it says": program_of(*GOOD) + bytes([8, 1, 1]),
    "too many operations": encode_varint(513) + program_of(*GOOD)[1:],
    "a number with a needless byte": program_of(*GOOD)[:-1] + b"\x81\0",
    "a number of five bytes": program_of(*GOOD)[:-1] + b"\x81\x80\x80\x80\1",
    "a slope that is no number": program_of([0, 8, 0, 0x7FC0, *CONV[2:]], POOL, MEAN),
    "a norm of other channels": program_of(CONV, POOL, [9, 0, 1, 0, 0, 0, 0x3F00], MEAN),
    "a norm of kernels": program_of(CONV, POOL, [9, 0, 1, 0, 1, 0, 0x3F00], MEAN),
    "a norm beyond the last tensor": program_of(CONV, POOL, [9, 0, 1, 1, 1, 0, 0x3F00], MEAN),
    "an infinite epsilon": program_of(CONV, POOL, [9, 0, 1, 0, 0, 0, 0x7F80], MEAN),
    "a factor of more bits": program_of(CONV, POOL, [10, 0, 1, 0x10000, 0, 0, 0], MEAN),
    "channels beyond the last": program_of(CONV, POOL, [11, 0, 1, 1, 6, 1], MEAN),
    "no channels": program_of(CONV, POOL, [11, 0, 1, 1, 0, 1], MEAN),
    "channels of no groups": program_of(CONV, POOL, [11, 0, 1, 0, 6, 0], MEAN),
    "groups that do not divide the channels": program_of(CONV, POOL, [11, 0, 1, 0, 6, 4], MEAN),
    "an input that is the result itself": changed(1, 2, 0),
    "an input before the photo": changed(1, 2, 3),
    "a tensor beyond the last": changed(0, 3, 2),
    "a bias beyond the last": changed(0, 4, 3),
    "a bias as weights": changed(0, 3, 1),
    "weights as bias": changed(0, 4, 1),
    "no groups": changed(0, 5, 0),
    "groups that do not divide the filters": changed(0, 5, 4),
    "groups of too few channels": changed(0, 5, 2),
    "a stride of zero": changed(0, 6, 0),
    "a dilation of zero": changed(0, 10, 0),
    "a kernel beyond the padded input": changed(0, 11, 8),
    "a dilation beyond every number": changed(0, 10, 65536),
    "a stride above 65,536": changed(0, 6, 65537),
    "a pool without a kernel": changed(1, 3, 0),
    "a pool larger than its input": changed(1, 3, 65536),
    "a pool whose window lies in the padding": changed(1, 7, 2),
    "an unknown ceil mode": changed(1, 9, 2),
    "maps as logits": program_of(CONV, POOL),
    "the wrong number of logits": program_of(MEAN),
    "a sum of different shapes": program_of(CONV, POOL, [5, 0, 1, 2], MEAN),
    "a product of different shapes": program_of(CONV, POOL, [6, 0, 1, 2], MEAN),
    "a concatenation of nothing": program_of(CONV, POOL, [7, 0, 0], MEAN),
    "a concatenation of different sizes": program_of(CONV, POOL, [7, 0, 2, 1, 2], MEAN),
    "a concatenation with an activation": program_of(CONV, POOL, [7, 1, 1, 1], MEAN),
    "a linear layer with kernels": program_of(CONV, POOL, [1, 0, 1, 0, 0], MEAN),
}
LATER = {"a kind of a later version": changed(0, 0, 13), "an activation of a later version": changed(0, 1, 9)}
LARGE = {
    "padding that no memory holds": program_of([*CONV[:8], 65536, 65536, 1, 1], POOL, MEAN),
    "zeros that no memory holds": program_of(CONV, [12, 0, 1, 65536, 65536, 0, 0, 0, 0], POOL, MEAN),
    "one channel too many": program_of(CONV, *([[7, 0, 2, 1, 1]] * 16), MEAN),
}


REFUSED = {
    **dict.fromkeys(BAD.values(), "bad-network"),
    **dict.fromkeys(LATER.values(), "unsupported-network"),
    **dict.fromkeys(LARGE.values(), "large-network"),
}


@pytest.mark.parametrize(("program", "error"), REFUSED.items(), ids=[*BAD, *LATER, *LARGE])
def test_a_program_that_breaks_a_rule_is_refused(driver: Driver, program, error):
    with pytest.raises(Refused, match=f"^{error}$"):
        driver.classify(encode(replace(small_model(), program=program)), CAT)


def test_the_program_of_the_rules_is_the_network(driver: Driver):
    assert small_model().program == program_of(*GOOD)


def test_a_damaged_program_never_leaves_its_memory(driver: Driver):
    """Programs with changed bytes run or are refused; the sanitizers of the driver accept no wrong access."""
    generator = random.Random(1)
    model, errors = small_model(), set()
    joined = program_of(CONV, [7, 0, 2, 1, 1], [0, *CONV[1:]], POOL, MEAN)
    padding, scale, choice = [12, 8, 0, 0x3F00, 1, 0, 1, 1, 0, 1, 0], [10, 0, 1, 0, 0x3F00, 0, 0], [11, 0, 1, 1, 6, 3]
    others = program_of(CONV, POOL, padding, scale, choice, [7, 0, 2, 1, 2], choice, [5, 0, 1, 3], MEAN)
    for number in range(150):
        program = bytearray((model.program, joined, others)[number % 3])
        for _ in range(generator.randint(1, 3)):
            program[generator.randrange(1, len(program))] = generator.choice([0, 1, 2, 3, 5, 8, 17, 64, 127, 128, 255])
        try:
            driver.classify(encode(replace(model, program=bytes(program))), CAT, MODES[number // 2 % 2])
        except Refused as refused:
            errors.add(refused.error)
    assert errors == {"bad-network", "unsupported-network"}
