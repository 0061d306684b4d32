"""Builds the runtime in C and runs networks with it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from benchmarks import c_decoder
from compress.container.file import encode
from compress.data.transforms import to_input, to_pixels
from compress.errors import ConfigError
from compress.model import Model
from compress.networks.modules import to_module

DRIVER = Path(__file__).with_name("network_driver.c")
MODES = ("loaded", "streamed")
MAX_ERROR = 1e-5
"""Of a logit, relative to the largest one. Sums of float32 in another order differ by about 1e-6."""


def build(program: Path, main: Path, flags: tuple[str, ...]) -> Path:
    """Build the runtime with a main program; without a compiler the tests fail instead of being skipped."""
    try:
        return c_decoder.build(program, flags, [*c_decoder.NETWORK, main, Path("-lm")])
    except ConfigError as error:
        pytest.fail(str(error))


@dataclass(frozen=True)
class Refused(Exception):
    """The runtime refused, with the name of its error."""

    error: str


@dataclass(frozen=True)
class Driver:
    """The built driver, and a folder for its files."""

    program: Path
    folder: Path

    def classify(self, data: bytes, photo: Image.Image, mode: str = "loaded") -> NDArray[np.float32]:
        """Return the network input and then the logits of a photo, flat."""
        pixels = np.asarray(photo).reshape(photo.height, photo.width, -1)
        return self.run(data, pixels.tobytes(), mode, *map(str, pixels.shape))

    def run(self, data: bytes, stdin: bytes, mode: str = "loaded", *extents: str) -> NDArray[np.float32]:
        """Return what the driver writes; without a photo's extents, `stdin` is network input.

        Raises:
            Refused: with the name of the error.
        """
        path = self.folder / "model.sqz"
        path.write_bytes(data)
        done = subprocess.run([self.program, path, mode, *extents], input=stdin, capture_output=True, check=False)
        assert not done.stderr, done.stderr.decode()
        if done.returncode:
            raise Refused(done.stdout.decode())
        return np.frombuffer(done.stdout, np.float32)


def assert_same(
    driver: Driver, model: Model, photo: Image.Image, network: nn.Module | None = None, codecs: Sequence[str] = ("raw",)
) -> None:
    """Compare input and logits with those of Pillow and torch, for both ways to read the weights."""
    photos = to_input(to_pixels(photo, model.preprocessing)[None], model.preprocessing)
    with torch.inference_mode():
        expected = (network or to_module(model))(torch.from_numpy(photos))[0].numpy()
    data = encode(model, codecs)
    for mode in MODES:
        written = driver.classify(data, photo, mode)
        network_input, logits = written[: photos.size], written[photos.size :]
        assert np.array_equal(network_input, photos[0].transpose(1, 2, 0).reshape(-1))
        assert np.abs(logits - expected).max() <= MAX_ERROR * np.abs(expected).max()
        assert np.array_equal(np.argsort(logits)[-5:], np.argsort(expected)[-5:])
        assert np.array_equal(driver.run(data, network_input.tobytes(), mode), logits)
