from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_digits

from compress.data.digits import Digits
from compress.model import Preprocessing

GRAY = Preprocessing(8, 8, "squash", "L", 1.0, (0.0,), (1.0,))


def test_each_digit_has_exactly_one_role():
    roles = [set(Digits().load(GRAY, role, classes=10).names) for role in ("calibration", "validation")]
    assert not roles[0] & roles[1]
    assert len(roles[0] | roles[1]) == 1797
    assert [len(images) for images in roles] == [1201, 596]


@pytest.mark.parametrize("role", ["calibration", "validation"])
def test_labels_belong_to_their_images(role):
    photos = Digits().load(GRAY, role, classes=10)
    images, digits = load_digits(return_X_y=True)
    numbers = [int(name.removeprefix("digit image ")) for name in photos.names]
    np.testing.assert_array_equal(photos.labels, digits[numbers])
    np.testing.assert_allclose(photos.pixels.reshape(-1, 64), images[numbers] * 255 / 16, atol=0.5)


@pytest.mark.parametrize("role", ["calibration", "validation"])
def test_a_limit_takes_equal_numbers_of_each_digit(role):
    photos = Digits(limit=50).load(GRAY, role, classes=10)
    assert np.bincount(photos.labels).tolist() == [5] * 10


def test_a_color_network_gets_three_equal_channels():
    preprocessing = replace(GRAY, height=16, width=16, channels="RGB", mean=(0.0,) * 3, std=(1.0,) * 3)
    pixels = Digits(limit=3).load(preprocessing, "validation", classes=10).pixels
    assert pixels.shape == (3, 16, 16, 3)
    assert (pixels == pixels[..., :1]).all()


def test_a_network_with_other_classes_gets_no_labels():
    photos = Digits(limit=3).load(GRAY, "validation", classes=1000)
    assert photos.labels is None
    assert "the network has 1,000 classes" in photos.description


def test_digits_are_reproducible(tmp_path):
    fingerprints = {
        Digits().load(GRAY, "validation", classes=10, cache=cache).fingerprint for cache in (None, tmp_path)
    }
    assert len(fingerprints) == 1
