from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compress.model import Preprocessing

Draw = Callable[..., Path]


@pytest.fixture
def draw() -> Draw:
    """Writes a photo of one color, which survives JPEG and resizing."""

    def drawn(path: Path, color: tuple[int, int, int] = (200, 100, 50), size: tuple[int, int] = (12, 9)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, color).save(path)
        return path

    return drawn


@pytest.fixture
def small() -> Preprocessing:
    return Preprocessing(8, 6, "squash", "RGB", 1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@pytest.fixture
def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (53, 97, 3), np.uint8))
