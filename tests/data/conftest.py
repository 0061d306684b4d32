from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compress.model import Preprocessing

Draw = Callable[..., Path]


@pytest.fixture
def draw() -> Draw:
    """Writes a photo of its own colour, so that photos can be told apart after JPEG and resizing."""

    def drawn(path: Path, colour: tuple[int, int, int] = (200, 100, 50), size: tuple[int, int] = (12, 9)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, colour).save(path)
        return path

    return drawn


@pytest.fixture
def small() -> Preprocessing:
    return Preprocessing(8, 6, "squash", "RGB", 1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@pytest.fixture
def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (53, 97, 3), np.uint8))
