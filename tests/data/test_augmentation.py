from __future__ import annotations

import numpy as np
import pytest
import torch

from compress.data.augmentation import random_crops, random_shifts


@pytest.fixture
def horizontal_ramp():
    """Photos whose brightness rises from 0 to 1 from left to right, so that a crop's edges show its position."""
    return torch.linspace(0, 1, 40).expand(50, 3, 30, 40)


def test_crops_show_part_of_each_photo_and_half_are_mirrored(horizontal_ramp):
    crops = random_crops(horizontal_ramp, np.random.default_rng(0))
    assert crops.shape == horizontal_ramp.shape
    brightness_change = crops[:, 0, 15, -1] - crops[:, 0, 15, 0]
    assert 15 <= int((brightness_change < 0).sum()) <= 35
    assert 0.4 < float(brightness_change.abs().min()) < 0.75
    assert float(brightness_change.abs().max()) > 0.95
    assert float(crops.min()) >= 0
    assert float(crops.max()) <= 1


def test_the_same_seed_gives_the_same_crops(horizontal_ramp):
    first, same, other = (random_crops(horizontal_ramp, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_each_photo_is_shifted_and_its_edges_are_repeated():
    photos = np.arange(6 * 8, dtype=np.uint8).reshape(1, 6, 8, 1).repeat(50, 0)
    shifted = random_shifts(photos, np.random.default_rng(0), 0.25, mirror=False)
    assert shifted.shape == photos.shape
    assert shifted.dtype == np.uint8
    assert {int(photo[0, 0, 0]) for photo in shifted} == {8 * row + column for row in range(3) for column in range(3)}
    assert all(set(np.diff(photo[:, :, 0], axis=1).ravel()) <= {0, 1} for photo in shifted)


def test_half_of_the_shifted_photos_are_mirrored_with_mirror():
    photos = np.arange(8, dtype=np.uint8).reshape(1, 1, 8, 1).repeat(200, 0).repeat(8, 1).repeat(3, 3)
    plain = random_shifts(photos, np.random.default_rng(0), 0, mirror=False)
    mirrored = random_shifts(photos, np.random.default_rng(0), 0, mirror=True)
    assert np.array_equal(plain, photos)
    assert 60 < int((mirrored[:, 0, 0, 0] == 7).sum()) < 140
