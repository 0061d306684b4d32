from __future__ import annotations

import numpy as np
import pytest
import torch

from compress.data.views import random_views


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
