from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from compress.container.file import weights_sha256
from compress.data.imagenet import imagenet_names
from compress.data.transforms import to_input, to_pixels
from compress.errors import ConfigError, FormatError, SqueezeError, WeightsError
from compress.model import CAFFE
from compress.networks.modules import builtin_network, to_module
from compress.weights.deep_compression import DeepCompressionWeights, read_deep_compression

RELEASED = Path(__file__).parents[3] / "shared" / "data" / "deep-compression" / "compressed_SqueezeNet.net"
released = pytest.mark.skipif(not RELEASED.exists(), reason="the released file is not here")

CODEBOOK = np.arange(256, dtype=np.float32) / 8
SHAPES = {"a.weight": (2, 3, 2, 4), "a.bias": (2,), "b.weight": (3, 2, 1, 1), "b.bias": (3,)}

WORKED = b"".join(
    [
        struct.pack("<2I", 3, 2),  # entries of a, of b
        CODEBOOK.tobytes(),
        struct.pack("<2f", 1.5, -2.0),
        bytes([3, 0, 255]),  # value 3/8, padding, value 255/8
        bytes([0xF2, 0x05]),  # gaps 2, 15, 5, and half a byte unused
        (-CODEBOOK).tobytes(),
        struct.pack("<3f", 0.0, 0.25, 7.0),
        bytes([1, 2]),
        bytes([0x40]),  # gaps 0, 4
    ]
)
"""Positions in a: 2; 2 + 15 + 1 = 18, padding; 18 + 5 + 1 = 24. In b: 0; 0 + 4 + 1 = 5."""


def net_file(layers):
    """Return the authors' format for layers (weights, biases, codebook); padding entries split gaps above 15."""
    counts, parts = [], []
    for weights, biases, codebook in layers:
        entries, last = [], -1
        for position in np.flatnonzero(weights):
            while position - last > 16:
                entries.append((0, 15))
                last += 16
            entries.append((int(np.flatnonzero(codebook == weights.ravel()[position])[0]), int(position - last - 1)))
            last = position
        indices, gaps = (list(column) for column in zip(*entries, strict=True)) if entries else ([], [])
        counts.append(len(entries))
        gaps += [0] * (len(gaps) % 2)
        packed = bytes(low | high << 4 for low, high in zip(gaps[::2], gaps[1::2], strict=True))
        parts.append(codebook.astype("<f4").tobytes() + biases.astype("<f4").tobytes() + bytes(indices) + packed)
    return struct.pack(f"<{len(counts)}I", *counts) + b"".join(parts)


def random_layers():
    """Layers of v1.0's shapes, nine tenths of their weights pruned."""
    random = np.random.default_rng(3)
    parameters = [tuple(p.shape) for p in builtin_network("squeezenet1_0", 1000).parameters()]
    for weight, bias in zip(parameters[::2], parameters[1::2], strict=True):
        codebook = np.concatenate([[0], random.standard_normal(255)]).astype(np.float32)
        indices = random.integers(1, 256, weight) * (random.random(weight) < 0.1)
        yield codebook[indices], random.standard_normal(bias).astype(np.float32), codebook


def test_the_worked_example_is_decoded():
    arrays = read_deep_compression(WORKED, SHAPES)
    assert list(arrays) == list(SHAPES)
    assert {name: array.shape for name, array in arrays.items()} == SHAPES
    first = np.zeros(48, np.float32)
    first[[2, 24]] = 3 / 8, 255 / 8
    assert arrays["a.weight"].ravel().tolist() == first.tolist()
    assert arrays["a.bias"].tolist() == [1.5, -2.0]
    assert arrays["b.weight"].ravel().tolist() == [-1 / 8, 0, 0, 0, 0, -2 / 8]
    assert arrays["b.bias"].tolist() == [0.0, 0.25, 7.0]


def test_a_layer_without_entries_is_zero():
    layer = (np.zeros((2, 3, 2, 4)), np.ones(2), CODEBOOK)
    arrays = read_deep_compression(net_file([layer]), {name: SHAPES[name] for name in ("a.weight", "a.bias")})
    assert not arrays["a.weight"].any()
    assert arrays["a.bias"].tolist() == [1, 1]


def test_padding_is_zero_whatever_codebook_entry_0_is():
    codebook = struct.pack("<f", 9.0)
    arrays = read_deep_compression(WORKED[:8] + codebook + WORKED[12:], SHAPES)
    assert arrays["a.weight"].ravel()[18] == 0


def test_truncation_at_every_byte_is_an_error():
    for length in range(len(WORKED)):
        with pytest.raises(FormatError, match=f"ends after {length:,} bytes"):
            read_deep_compression(WORKED[:length], SHAPES)


def test_bytes_after_the_last_layer_are_an_error():
    with pytest.raises(FormatError, match="2 bytes too many"):
        read_deep_compression(WORKED + b"\0\0", SHAPES)


def test_a_position_outside_its_tensor_is_an_error_with_the_tensors_name():
    beyond = WORKED[:-1] + bytes([0x50])
    with pytest.raises(FormatError, match=r"b\.weight: position 6 in a tensor of 6 weights"):
        read_deep_compression(beyond, SHAPES)


def test_a_count_larger_than_the_file_is_an_error_before_memory_is_allocated():
    with pytest.raises(FormatError, match="ends after"):
        read_deep_compression(struct.pack("<2I", 0xFFFFFFFF, 0xFFFFFFFF) + WORKED[8:], SHAPES)


def test_a_file_of_v1_0_is_decoded_bit_for_bit(tmp_path):
    layers = list(random_layers())
    path = tmp_path / "compressed.net"
    path.write_bytes(net_file(layers))
    model = DeepCompressionWeights(str(path)).load()
    assert (model.architecture, model.classes, model.preprocessing) == ("squeezenet1_0", 1000, CAFFE)
    assert model.labels == imagenet_names()
    expected = [array for weights, biases, _ in layers for array in (weights, biases)]
    for array, tensor in zip(expected, model.tensors.values(), strict=True):
        assert np.array_equal(tensor.to_dense(), array)
    assert to_module(model)(torch.zeros(1, 3, 64, 64)).shape == (1, 1000)


def test_weights_that_are_not_finite_are_an_error_with_the_tensors_name(tmp_path):
    layers = list(random_layers())
    layers[2][1][0] = np.nan
    (tmp_path / "broken.net").write_bytes(net_file(layers))
    with pytest.raises(WeightsError, match=r"features\.3\.expand1x1\.bias: holds NaN"):
        DeepCompressionWeights(str(tmp_path / "broken.net")).load()


def test_a_missing_file_is_a_configuration_error(tmp_path):
    with pytest.raises(ConfigError, match=r"no file .*absent\.net") as caught:
        DeepCompressionWeights(str(tmp_path / "absent.net")).load()
    assert caught.value.exit_code == 2


def test_another_file_is_an_error(tmp_path):
    (tmp_path / "photo.net").write_bytes(np.random.default_rng(0).bytes(10_000))
    with pytest.raises(SqueezeError):
        DeepCompressionWeights(str(tmp_path / "photo.net")).load()


@released
def test_the_released_file_decodes_to_known_weights():
    model = DeepCompressionWeights(str(RELEASED)).load()
    assert weights_sha256(model) == "5760c45770e3dd678a28d737d89dad7ea9138e3c5f8d3ec581db56431fe6f920"


@released
def test_the_released_network_recognizes_an_espresso():
    model = DeepCompressionWeights(str(RELEASED)).load()
    assert "espresso" in top5(model, data.coffee())


def top5(model, photo):
    pixels = to_pixels(Image.fromarray(photo), model.preprocessing)[None]
    logits = to_module(model)(torch.from_numpy(to_input(pixels, model.preprocessing)))
    return [model.labels[i] for i in logits[0].argsort(descending=True)[:5]]
