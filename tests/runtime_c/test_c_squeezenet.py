"""The runtime in C gives torch's logits for SqueezeNet, and one error for what it cannot run."""

from __future__ import annotations

import functools
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from c_network import DRIVER, MODES, Driver, Refused, assert_same, build
from PIL import Image
from skimage import data

from compress.container.file import encode
from compress.data.package_files import package_file
from compress.data.samples import PHOTOS
from compress.data.transforms import read_photo, to_input, to_pixels
from compress.model import TORCHVISION, Model, Preprocessing
from compress.networks.modules import builtin_network, stored_tensors
from compress.tensors.forms import Dense, Pruned, Shared, Tensor

CAT = Image.fromarray(data.chelsea())
SMALL = Preprocessing(49, 64, "squash", "RGB", 1 / 64, (2.0, 1.9, 1.8), (1.0, 0.9, 1.1))
GRAY = Preprocessing(64, 64, "crop", "L", 1 / 255, (0.5,), (0.25,), short_side=70)


@functools.cache
def random_squeezenet(architecture: str = "squeezenet1_1", classes: int = 10, preprocessing: Preprocessing = SMALL):
    """SqueezeNet with random weights, scaled so that its logits differ."""
    torch.manual_seed(1)
    network = builtin_network(architecture, classes)
    for values in network.parameters():
        values.data = torch.randn_like(values) * (2 / values[0].numel() if values.dim() > 1 else 0.1) ** 0.5
    tensors = {name: Dense(values.detach().numpy()) for name, values in stored_tensors(network).items()}
    return Model(architecture, classes, preprocessing, tensors)


def in_every_form(model: Model) -> Model:
    """Weights pruned and shared, with scales, with coefficients, in each scan order that the encoder chooses."""
    tensors: dict[str, Tensor] = {}
    for number, (name, tensor) in enumerate(model.tensors.items()):
        values = tensor.to_dense()
        codebook = np.append(0, np.quantile(values, np.linspace(0.01, 0.99, 7))).astype(np.float32)
        indices = np.abs(values[..., None] - codebook).argmin(axis=-1).astype(np.uint16)
        if values.ndim == 1:
            tensors[name] = tensor
        elif number % 6 == 0:
            mask = np.abs(values) > np.median(np.abs(values))
            tensors[name] = Pruned(np.where(mask, values, np.float32(0)), mask)
        elif values.shape[2:] == (3, 3):
            rows, coefficients = np.zeros(len(values), np.int8), np.full((3, 3), -12, np.int8)
            tensors[name] = Shared(codebook, indices, "float32", rows, None, coefficients)
        else:
            tensors[name] = Shared(codebook, indices, "float32", np.arange(len(values)).astype(np.int8) % 3)
    return replace(model, tensors=tensors)


@pytest.mark.parametrize("architecture", ["squeezenet1_0", "squeezenet1_1"])
def test_both_versions_give_torchs_logits(driver: Driver, architecture):
    assert_same(driver, random_squeezenet(architecture), CAT)


@pytest.mark.parametrize(
    "preprocessing",
    [
        replace(SMALL, channels="BGR", height=64, width=49),
        replace(SMALL, resize="crop", short_side=90),
        replace(SMALL, resize="crop", short_side=50, width=90),  # the crop is wider than the photo: black beside it
        replace(TORCHVISION, height=97, width=96, short_side=97),
    ],
)
def test_any_input_size_and_order_of_channels(driver: Driver, preprocessing):
    assert_same(driver, random_squeezenet(preprocessing=preprocessing), CAT)


@pytest.mark.parametrize("classes", [1, 5, 16, 37])
def test_any_number_of_classes(driver: Driver, classes):
    assert_same(driver, random_squeezenet(classes=classes), CAT)


def test_gray_input(driver: Driver):
    """Gray is Pillow's luma; the first layer has one channel."""
    network = builtin_network("squeezenet1_1", 10)
    model = random_squeezenet(preprocessing=GRAY)
    first = Dense(model.tensors["features.0.weight"].to_dense().sum(1, keepdims=True))
    model = model.with_tensors({"features.0.weight": first})
    network.features[0] = torch.nn.Conv2d(1, 64, 3, stride=2)
    network.load_state_dict({name: torch.tensor(tensor.to_dense()) for name, tensor in model.tensors.items()})
    assert_same(driver, model, CAT, network)
    assert_same(driver, model, Image.fromarray(data.camera()), network)


def test_weights_of_every_form_are_read_whole_and_in_pieces(driver: Driver):
    assert_same(driver, in_every_form(random_squeezenet()), CAT)


@pytest.mark.parametrize("codecs", [["raw", "huffman", "huffman-runs"], ["huffman-runs"], ["context"]])
def test_the_way_of_coding_changes_no_bit_of_the_logits(driver: Driver, codecs):
    model = in_every_form(random_squeezenet())
    results = [driver.classify(encode(model, each), CAT, mode) for each in (["raw"], codecs) for mode in MODES]
    assert all(np.array_equal(results[0], other) for other in results[1:])


@pytest.fixture(scope="module")
def fast(tmp_path_factory) -> Driver:
    """The driver as users build it, without sanitizers."""
    folder = tmp_path_factory.mktemp("fast")
    return Driver(build(folder / "driver", DRIVER, ("-O2",)), folder)


def test_the_trained_network_finds_the_same_five_classes_in_every_kind_of_photo(fast: Driver, squeezenet: Model):
    photos = [package_file(*parts) for parts in PHOTOS["calibration"][:4] + PHOTOS["validation"]]
    for path in photos:
        assert_same(fast, squeezenet, read_photo(path))


SIZES = [(49, 64), (64, 49), (50, 300), (300, 50), (31, 7), (1, 1), (500, 20), (640, 480), (2, 900)]


@pytest.mark.parametrize("preprocessing", [SMALL, GRAY, replace(SMALL, resize="crop", short_side=66)])
def test_photos_of_every_size_are_resized_as_by_pillow(fast: Driver, preprocessing):
    """Pillow 13 resizes some of them vertically first."""
    model = random_squeezenet(preprocessing=preprocessing)
    if preprocessing.channels == "L":
        model = with_tensor(model, "features.0.weight", lambda values: values[:, :1])
    file = encode(model, ["raw"])
    for width, height in SIZES:
        photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))
        expected = to_input(to_pixels(photo, preprocessing)[None], preprocessing)[0]
        written = fast.classify(file, photo)[: expected.size]
        assert np.array_equal(written, expected.transpose(1, 2, 0).reshape(-1)), (width, height)


def test_a_fourth_channel_is_ignored(driver: Driver):
    file = encode(random_squeezenet(), ["raw"])
    with_alpha = CAT.copy()
    with_alpha.putalpha(7)
    assert np.array_equal(driver.classify(file, with_alpha), driver.classify(file, CAT))


def with_tensor(model: Model, name: str, change) -> Model:
    return replace(model, tensors={**model.tensors, name: Dense(change(model.tensors[name].to_dense()))})


def renamed(model: Model, **names: str) -> Model:
    """Rename tensors; underscores are dots."""
    names = {old.replace("_", "."): new for old, new in names.items()}
    return replace(model, tensors={names.get(name, name): tensor for name, tensor in model.tensors.items()})


def reordered(model: Model) -> Model:
    return replace(model, tensors=dict(reversed(model.tensors.items())))


REFUSED = {
    "another architecture": (lambda model: replace(model, architecture="resnet18"), "unsupported-network"),
    "a function": (lambda model: replace(model, architecture="networks:make"), "unsupported-network"),
    "a longer name of an architecture": (
        lambda model: replace(model, architecture="squeezenet1_1x"), "unsupported-network",
    ),
    "another version": (lambda model: replace(model, architecture="squeezenet1_0"), "bad-network"),
    "another name of a tensor": (lambda model: renamed(model, features_0_weight="first.weight"), "bad-network"),
    "a long name of a tensor": (lambda model: renamed(model, features_0_weight="x" * 1024), "bad-network"),
    "another order": (reordered, "bad-network"),
    "a missing tensor": (
        lambda model: replace(model, tensors=dict(list(model.tensors.items())[:-1])), "bad-network",
    ),
    "more classes than outputs": (lambda model: replace(model, classes=11), "bad-network"),
    "no classes": (lambda model: replace(model, classes=0), "bad-network"),
    "a matrix instead of kernels": (
        lambda model: with_tensor(model, "features.3.squeeze.weight", lambda values: values[:, :, 0, 0]), "bad-network",
    ),
    "a missing input channel": (
        lambda model: with_tensor(model, "features.3.squeeze.weight", lambda values: values[:, 1:]), "bad-network",
    ),
    "an empty kernel": (
        lambda model: with_tensor(model, "features.3.squeeze.weight", lambda values: values[:, :, :0]), "bad-network",
    ),
    "no filters": (
        lambda model: with_tensor(model, "features.3.squeeze.weight", lambda values: values[:0]), "bad-network",
    ),
    "a short bias": (
        lambda model: with_tensor(model, "features.3.squeeze.bias", lambda values: values[1:]), "bad-network",
    ),
    "a matrix as bias": (
        lambda model: with_tensor(model, "features.3.squeeze.bias", lambda values: values[None]), "bad-network",
    ),
    "halves that do not fit each other": (
        lambda model: with_tensor(model, "features.3.expand3x3.weight", lambda values: values[..., :2, :2]),
        "bad-network",
    ),
    "gray input": (lambda model: replace(model, preprocessing=GRAY), "bad-network"),
    "input smaller than the first kernel": (
        lambda model: replace(model, preprocessing=replace(SMALL, height=2)), "bad-network",
    ),
    "input without pixels": (lambda model: replace(model, preprocessing=replace(SMALL, width=0)), "bad-network"),
    "the largest input": (
        lambda model: replace(model, preprocessing=replace(SMALL, width=65536, height=65536)), "large-network",
    ),
    "two means": (lambda model: replace(model, preprocessing=replace(SMALL, mean=(1.0, 2.0))), "bad-network"),
    "no standard deviation": (lambda model: replace(model, preprocessing=replace(SMALL, std=())), "bad-network"),
    "no short side": (lambda model: replace(model, preprocessing=replace(SMALL, resize="crop")), "bad-photo"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "error"), REFUSED.values(), ids=REFUSED)
def test_a_network_that_does_not_fit_is_refused(driver: Driver, change, error):
    with pytest.raises(Refused, match=f"^{error}$"):
        driver.classify(encode(change(random_squeezenet()), ["raw"]), CAT)


@pytest.mark.parametrize(
    ("width", "height", "error"), [(0, 9, "bad-photo"), (9, 0, "bad-photo"), (65537, 1, "bad-photo")]
)
def test_a_photo_without_pixels_or_too_large_is_refused(driver: Driver, width, height, error):
    with pytest.raises(Refused, match=f"^{error}$"):
        driver.run(
            encode(random_squeezenet(), ["raw"]), bytes(3 * width * height), "loaded", *map(str, (height, width, 3))
        )


@pytest.mark.parametrize("mode", MODES)
def test_an_arena_that_is_too_small_is_refused(driver: Driver, mode):
    """Sanitizers watch the other tests, where the arena has exactly the bytes that the runtime asks for."""
    file = encode(random_squeezenet(), ["raw"])
    with pytest.raises(Refused, match="small-arena"):
        driver.classify(file, CAT, f"{mode}1")
    with pytest.raises(Refused, match="small-arena"):
        driver.run(file, bytes(4 * 3 * 49 * 64), f"{mode}1")


@pytest.mark.parametrize("mode", MODES)
def test_a_damaged_layer_is_refused(driver: Driver, mode):
    file = bytearray(encode(random_squeezenet(), ["raw"]))
    file[-100] ^= 1
    struct.pack_into("<I", file, len(file) - 4, zlib.crc32(file[:-4]))
    with pytest.raises(Refused, match="bad-checksum"):
        driver.classify(bytes(file), CAT, mode)
