from __future__ import annotations

import numpy as np
import pytest
import torch

from compress.data.augmentation import random_views, shifted


@pytest.fixture
def slope_of_brightness():
    """Photos that grow brighter from left to right, from 0 to 1: a view's ends tell which stretch it shows."""
    return torch.linspace(0, 1, 40).expand(50, 3, 30, 40)


def test_views_show_stretches_of_their_photos_and_half_of_them_mirrored(slope_of_brightness):
    views = random_views(slope_of_brightness, np.random.default_rng(0))
    assert views.shape == slope_of_brightness.shape
    shown = views[:, 0, 15, -1] - views[:, 0, 15, 0]
    assert 15 <= int((shown < 0).sum()) <= 35
    assert 0.4 < float(shown.abs().min()) < 0.75
    assert float(shown.abs().max()) > 0.95
    assert float(views.min()) >= 0
    assert float(views.max()) <= 1


def test_the_same_seed_gives_the_same_views(slope_of_brightness):
    once, again, other = (random_views(slope_of_brightness, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


def test_they_are_not_mirrored_where_that_is_not_wanted():
    rising = torch.arange(8.0).repeat(1, 1, 8, 1)
    views = random_views(rising.repeat(40, 1, 1, 1), np.random.default_rng(0), mirror=False)
    assert (views.diff(dim=3) >= 0).all()


def test_photos_are_moved_each_by_itself_and_their_edges_repeated():
    photos = np.arange(6 * 8, dtype=np.uint8).reshape(1, 6, 8, 1).repeat(50, 0)
    moved = shifted(photos, np.random.default_rng(0), 0.25, mirror=False)
    assert moved.shape == photos.shape
    assert moved.dtype == np.uint8
    assert {int(photo[0, 0, 0]) for photo in moved} == {8 * row + column for row in range(3) for column in range(3)}
    assert all(set(np.diff(photo[:, :, 0], axis=1).ravel()) <= {0, 1} for photo in moved)


def test_half_are_mirrored_where_that_is_wanted():
    photos = np.arange(8, dtype=np.uint8).reshape(1, 1, 8, 1).repeat(200, 0).repeat(8, 1).repeat(3, 3)
    plain = shifted(photos, np.random.default_rng(0), 0, mirror=False)
    both = shifted(photos, np.random.default_rng(0), 0, mirror=True)
    assert np.array_equal(plain, photos)
    assert 60 < int((both[:, 0, 0, 0] == 7).sum()) < 140
