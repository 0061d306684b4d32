"""Fixtures of many tests: a network with 1,200 weights, photos for it, and the trained SqueezeNet."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from skimage import data, transform
from torch import nn

from compress.configuration.config import Pipeline, read_pipeline
from compress.context import Context
from compress.data.photos import Photos
from compress.model import Model, Preprocessing
from compress.networks.modules import NETWORKS
from compress.tensors.forms import Dense
from compress.weights.embedded_weights import EmbeddedWeights

settings.register_profile("untimed", deadline=None)  # the first use of a loop may compile it
settings.load_profile("untimed")

TINY = Preprocessing(12, 12, "squash", "RGB", 1 / 64, (2.0, 2.0, 2.0), (1.0, 1.0, 1.0))


def tiny_network(classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(12, classes, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


@pytest.fixture
def photos_of() -> Callable[..., Photos]:
    def make_photos(pixels: np.ndarray, labels: np.ndarray | None = None) -> Photos:
        names = tuple(f"photo {i}" for i in range(len(pixels)))
        return Photos(pixels, labels, names, "generated", hashlib.sha256(pixels.tobytes()).hexdigest())

    return make_photos


@pytest.fixture
def patchwork(photos_of: Callable[..., Photos]) -> Callable[..., Photos]:
    """Makes photos of nine colored squares, so that a network's outputs differ."""

    def make_photos(count: int, seed: int = 0) -> Photos:
        colors = np.random.default_rng(seed).integers(0, 256, (count, 3, 3, 3), np.uint8)
        return photos_of(colors.repeat(4, axis=1).repeat(4, axis=2))

    return make_photos


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[Model]:
    """A model with 3x3 and 1x1 convolutions, 6 classes and random weights."""
    monkeypatch.setitem(NETWORKS, "tiny", tiny_network)
    random = np.random.default_rng(1)
    tensors = {}
    for name, parameter in tiny_network(6).named_parameters():
        fan_in = parameter[0].numel() if parameter.dim() > 1 else 100
        tensors[name] = Dense((2 * random.standard_normal(parameter.shape) / fan_in**0.5).astype(np.float32))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # for a network this small, several threads are slower
    yield Model("tiny", 6, TINY, tensors)
    torch.set_num_threads(threads)


@pytest.fixture
def context(tiny: Model, patchwork: Callable[..., Photos]) -> Context:
    return Context(tiny, patchwork(60))


@pytest.fixture(scope="session")
def squeezenet() -> Model:
    """SqueezeNet v1.1 as its authors trained it."""
    return EmbeddedWeights().load()


@pytest.fixture(scope="session")
def real_context(squeezenet: Model) -> Context:
    """The trained SqueezeNet with 12 crops of real photos, 99 pixels a side."""
    crops = []
    for photo in (data.astronaut(), data.chelsea(), data.coffee()):
        half = min(photo.shape[:2]) // 2
        for top in (0, photo.shape[0] - half):
            for left in (0, photo.shape[1] - half):
                crop = transform.resize(photo[top : top + half, left : left + half], (99, 99), anti_aliasing=True)
                crops.append(np.round(crop * 255).astype(np.uint8))
    pixels = np.stack(crops)
    photos = Photos(pixels, None, ("crop",) * len(pixels), "crops", hashlib.sha256(pixels.tobytes()).hexdigest())
    return Context(squeezenet, photos)


@pytest.fixture(autouse=True)
def _seed_torch() -> None:
    torch.manual_seed(0)


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Pipeline]:
    """Return a function that reads a pipeline from text or bytes, with overrides."""

    def reading(text: str | bytes, *overrides: str) -> Pipeline:
        file = tmp_path / "p.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_pipeline(file, overrides)

    return reading
