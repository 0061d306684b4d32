import re
import socket

import numpy as np
import pytest

from compress.data import samples
from compress.data.samples import PHOTOS, Samples
from compress.data.transforms import to_pixels
from compress.errors import DataError
from compress.model import TORCHVISION


def photo_names(photos):
    return {file for name in photos.names for file in re.findall(r"\w+\.(?:png|jpg)", name)}


def test_calibration_and_validation_are_cut_from_different_photos(small):
    calibration = photo_names(Samples(20).load(small, "calibration", classes=1000))
    validation = photo_names(Samples(20).load(small, "validation", classes=1000))
    assert calibration == {parts[-1] for parts in PHOTOS["calibration"]}
    assert validation == {parts[-1] for parts in PHOTOS["validation"]}
    assert not calibration & validation


def test_a_stereo_pair_is_on_one_side():
    sides = {role: [parts[-1] for parts in names] for role, names in PHOTOS.items()}
    assert {role for role, names in sides.items() for name in names if "motorcycle" in name} == {"calibration"}


def test_samples_have_no_labels_and_say_what_can_be_measured(small):
    photos = Samples(7).load(small, "validation", classes=1000)
    assert photos.labels is None
    assert photos.description.startswith("7 crops of 3 photos in the scikit-learn and scikit-image packages")
    assert "fidelity to the float network is what can be measured" in photos.description


def test_there_are_1200_to_calibrate_and_200_to_validate_with(small):
    assert len(Samples().load(small, "calibration", classes=1000)) == 1200
    assert len(Samples().load(small, "validation", classes=1000)) == 200


def test_samples_are_the_same_every_time_and_no_two_are_alike(small):
    first, second = (Samples().load(small, "calibration", classes=1000) for _ in range(2))
    assert first.fingerprint == second.fingerprint
    assert len({pixels.tobytes() for pixels in first.pixels}) == 1200


def test_calibration_sees_mosaics_and_other_colours_beside_plain_crops(small):
    photos = Samples(8).load(small, "calibration", classes=1000)
    kinds = [(name.startswith("mosaic"), name.endswith("in other colours")) for name in photos.names]
    assert kinds == [(False, False), (True, False), (False, True), (True, True)] * 2
    plain, recoloured = photos.pixels[0].astype(int), photos.pixels[2].astype(int)
    assert np.abs(plain - recoloured).mean() > 5
    assert np.corrcoef(plain.ravel(), recoloured.ravel())[0, 1] > 0.5  # the same photo still


def test_a_mosaic_is_four_photos_in_a_square():
    mosaic = Samples(2).load(TORCHVISION, "calibration", classes=1000).pixels[1]
    half = mosaic.shape[0] // 2
    quarters = [mosaic[:half, :half], mosaic[:half, half:], mosaic[half:, :half], mosaic[half:, half:]]
    assert len({quarter.mean().round() for quarter in quarters}) == 4


def test_validation_is_on_plain_crops(small):
    names = Samples(40).load(small, "validation", classes=1000).names
    assert not [name for name in names if "mosaic" in name or "colours" in name]


def test_a_larger_count_keeps_the_crops_of_a_smaller_one(small):
    few, many = (Samples(count).load(small, "validation", classes=1000) for count in (10, 30))
    np.testing.assert_array_equal(many.pixels[:10], few.pixels)


def test_the_first_crop_is_the_whole_photo():
    first = Samples(1).load(TORCHVISION, "calibration", classes=1000)
    china = samples.read_photo(samples.installed_file(*PHOTOS["calibration"][0]))
    np.testing.assert_array_equal(first.pixels[0], to_pixels(china, TORCHVISION))


def test_samples_need_no_network(small, monkeypatch):
    def refused(*args, **kwargs):
        raise AssertionError("samples reached for the network")

    monkeypatch.setattr(socket, "socket", refused)
    assert len(Samples(8).load(small, "calibration", classes=1000)) == 8


def test_a_missing_package_is_a_data_error(small, monkeypatch):
    monkeypatch.setitem(PHOTOS, "calibration", (("no_such_package", "photo.png"),))
    with pytest.raises(DataError, match="no_such_package is not installed"):
        Samples(1).load(small, "calibration", classes=1000)


def test_a_photo_that_a_package_lost_is_a_data_error(small, monkeypatch):
    monkeypatch.setitem(PHOTOS, "calibration", (("skimage", "data", "lost.png"),))
    with pytest.raises(DataError, match=r"skimage has no file data/lost\.png"):
        Samples(1).load(small, "calibration", classes=1000)
