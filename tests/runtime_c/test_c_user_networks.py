"""The runtime in C runs networks of the user's own by the programs in their files, and checks every field of them."""

from __future__ import annotations

import platform
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from c_network import DRIVER, MODES, Driver, Refused, assert_same, build
from PIL import Image
from program_networks import HEIGHT, NETWORKS, WIDTH, PaddedShortcut, layers
from skimage import data
from torch import nn

from compress.codecs.primitives.varint import encode_varint
from compress.container.file import encode
from compress.model import Model, Preprocessing
from compress.networks.modules import as_dense, stored_tensors
from compress.networks.program import network_program
from compress.tensors.forms import Dense, Shared
from compress.tensors.levels import levels_codebook
from compress.weights.user_network import UserNetwork

CAT = Image.fromarray(data.chelsea())
INPUT = Preprocessing(HEIGHT, WIDTH, "squash", "RGB", 1 / 64, (2.0, 1.9, 1.8), (1.0, 0.9, 1.1))


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


@pytest.mark.parametrize("pool", [nn.AdaptiveAvgPool2d(1), nn.AvgPool2d(220, 5)])
def test_the_mean_of_a_large_map_is_torchs_where_all_its_pixels_are_equal(driver: Driver, pool):
    """All roundings of a plain sum would go in one direction, by up to 0.05%."""
    side = 224
    network = nn.Sequential(pool, nn.Flatten())
    model = model_of(network, 3, replace(INPUT, height=side, width=side))
    photo = np.full((side, side, 3), (0.3, 0.7, 0.11), np.float32)
    for mode in MODES:
        logits = driver.run(encode(model), photo.tobytes(), mode)
        assert logits == pytest.approx(photo[0, 0], rel=1e-6)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors have no x87")
def test_processors_that_compute_in_80_bits_run_networks_too(tmp_path):
    """As GCC does for 32-bit x86 by `-std=c99`; it then refuses products of vectors and numbers."""
    x87 = Driver(build(tmp_path / "x87", DRIVER, ("-O1", "-mfpmath=387")), tmp_path)
    network, classes = NETWORKS["dilation"]
    inputs = np.random.default_rng(0).normal(size=(1, 3, HEIGHT, WIDTH)).astype(np.float32)
    with torch.inference_mode():
        expected = network(torch.from_numpy(inputs))[0].numpy()
    logits = x87.run(encode(model_of(network, classes)), inputs.transpose(0, 2, 3, 1).tobytes())
    assert np.allclose(logits, expected, rtol=0, atol=1e-5)


def test_more_channels_than_the_runtime_has_are_too_many_and_no_damage(driver: Driver):
    model = model_of(layers(nn.Conv2d(3, 65_537, 1, bias=False)), 65_537)
    with pytest.raises(Refused, match=r"^large-network$"):
        driver.classify(encode(model), CAT)


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
    "a tensor beyond the last as a value": program_of(CONV, POOL, [13, 0, 2, 6], MEAN),
    "a tensor of more channels": program_of(CONV, POOL, [13, 0, 1, 7], [6, 0, 2, 1], MEAN),
    "a tensor of fewer channels": program_of(CONV, POOL, [13, 0, 1, 5], [6, 0, 2, 1], MEAN),
    "kernels as a value": program_of(CONV, POOL, [13, 0, 0, 6], [6, 0, 2, 1], MEAN),
    "a tensor of no channels": program_of([13, 0, 1, 0], CONV, POOL, MEAN),
    "numbers of no channels": program_of([14, 0, 0, 0], CONV, POOL, MEAN),
    "fewer numbers than channels": program_of(CONV, POOL, MEAN, [14, 0, 6, 0, 0, 0x3F00]),
    "a number that is not finite": program_of([14, 0, 6, 1, 0, 0x7F80], CONV, POOL, MEAN),
    "numbers of an unknown form": program_of([14, 0, 1, 2, 0, 0x3F00], CONV, POOL, MEAN),
    "numbers of other channels": program_of(CONV, POOL, [14, 0, 5, 1, 0, 0x3F00], [15, 0, 2, 1], MEAN),
    "a difference of different shapes": program_of(CONV, POOL, [15, 0, 1, 2], MEAN),
    "a quotient of different shapes": program_of(CONV, POOL, [16, 0, 2, 1], MEAN),
    "slopes of different shapes": program_of(CONV, POOL, [17, 0, 1, 2], MEAN),
    "a quotient of one value": program_of(CONV, POOL, [16, 0, 1, 0], MEAN),
    "an alpha that is no number": program_of([0, 9, 0, 0x7FC0, *CONV[2:]], POOL, MEAN),
    "a limit that is infinite": program_of([0, 13, 0, 0, 0, 0x7F80, *CONV[2:]], POOL, MEAN),
}
LATER = {"a kind of a later version": changed(0, 0, 18), "an activation of a later version": changed(0, 1, 14)}
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
    numbers, tensor, slopes = [14, 9, 0, 0x3F00, 6, 1, 0, 0x3F00], [13, 0, 1, 6], [17, 13, 0, 0, 0, 0x3F00, 3, 1]
    pairs = program_of(
        CONV, numbers, tensor, slopes, [15, 0, 1, 2], [16, 10, 4, 1], [7, 0, 2, 1, 2], choice, POOL, MEAN
    )
    for number in range(200):
        program = bytearray((model.program, joined, others, pairs)[number % 4])
        for _ in range(generator.randint(1, 3)):
            program[generator.randrange(1, len(program))] = generator.choice([0, 1, 2, 3, 5, 8, 17, 64, 127, 128, 255])
        try:
            driver.classify(encode(replace(model, program=bytes(program))), CAT, MODES[number // 4 % 2])
        except Refused as refused:
            errors.add(refused.error)
    assert errors == {"bad-network", "unsupported-network"}
