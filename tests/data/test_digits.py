from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_digits

from compress.data.digits import Digits
from compress.model import Preprocessing

GREY = Preprocessing(8, 8, "squash", "L", 1.0, (0.0,), (1.0,))


def test_no_digit_is_on_both_sides_and_none_is_lost():
    sides = [set(Digits().load(GREY, role, classes=10).names) for role in ("calibration", "validation")]
    assert not sides[0] & sides[1]
    assert len(sides[0] | sides[1]) == 1797
    assert [len(side) for side in sides] == [1201, 596]


@pytest.mark.parametrize("role", ["calibration", "validation"])
def test_labels_belong_to_their_images(role):
    photos = Digits().load(GREY, role, classes=10)
    images, digits = load_digits(return_X_y=True)
    numbers = [int(name.removeprefix("digit image ")) for name in photos.names]
    np.testing.assert_array_equal(photos.labels, digits[numbers])
    np.testing.assert_allclose(photos.pixels.reshape(-1, 64), images[numbers] * 255 / 16, atol=0.5)


@pytest.mark.parametrize("role", ["calibration", "validation"])
def test_a_limit_takes_all_digits_alike(role):
    photos = Digits(limit=50).load(GREY, role, classes=10)
    assert np.bincount(photos.labels).tolist() == [5] * 10


def test_a_colour_network_gets_three_equal_channels():
    preprocessing = replace(GREY, height=16, width=16, channels="RGB", mean=(0.0,) * 3, deviation=(1.0,) * 3)
    pixels = Digits(limit=3).load(preprocessing, "validation", classes=10).pixels
    assert pixels.shape == (3, 16, 16, 3)
    assert (pixels == pixels[..., :1]).all()


def test_a_network_of_other_classes_gets_no_labels():
    photos = Digits(limit=3).load(GREY, "validation", classes=1000)
    assert photos.labels is None
    assert "the network has 1,000 classes" in photos.description


def test_digits_are_the_same_every_time(tmp_path):
    prints = {Digits().load(GREY, "validation", classes=10, store=store).fingerprint for store in (None, tmp_path)}
    assert len(prints) == 1
