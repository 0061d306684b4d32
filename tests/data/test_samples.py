import re
import socket

import numpy as np
import pytest
from pydantic import ValidationError

from compress.data import samples
from compress.data.class_index import NetworkClasses
from compress.data.samples import PHOTOS, Samples
from compress.data.transforms import to_pixels
from compress.errors import DataError
from compress.model import TORCHVISION


def photo_names(photos):
    return {file for name in photos.names for file in re.findall(r"[\w-]+\.(?:png|jpg)", name)}


def test_calibration_and_validation_are_cut_from_different_photos(small):
    calibration = photo_names(Samples(40).load(small, "calibration", classes=1000))
    validation = photo_names(Samples(20).load(small, "validation", classes=1000))
    assert calibration == {parts[-1] for parts in PHOTOS["calibration"]}
    assert validation == {parts[-1] for parts in PHOTOS["validation"]}
    assert not calibration & validation


def test_a_count_that_no_machine_can_hold_is_refused():
    with pytest.raises(ValidationError, match="less than or equal to 1000000"):
        Samples(10**9)


def test_a_stereo_pair_has_one_role():
    photos_by_role = {role: [parts[-1] for parts in names] for role, names in PHOTOS.items()}
    assert {role for role, names in photos_by_role.items() for name in names if "motorcycle" in name} == {"calibration"}


def test_samples_have_no_labels_and_say_how_few_photos_they_are(small):
    photos = Samples(7).load(small, "validation", classes=1000)
    assert photos.labels is None
    intervals = "intervals cover other crops of them, not other photos"
    names = "coffee, astronaut, rocket, camera, coins, text"
    of = f"of 6 photos in installed packages ({names}; {intervals}), without labels"
    assert photos.description == f"7 crops {of}"


def test_the_defaults_are_all_different(small):
    photos = Samples().load(small, "calibration", classes=1000)
    assert len(photos) == 1200
    assert len(Samples().list_photos("validation", NetworkClasses(1000)).entries) == 200
    assert len({pixels.tobytes() for pixels in photos.pixels}) == 1200


def test_samples_are_reproducible(small):
    first, second = (Samples(100).load(small, "calibration", classes=1000) for _ in range(2))
    assert first.fingerprint == second.fingerprint


def test_calibration_alternates_crops_and_collages_of_all_photos(small):
    photos = Samples(8).load(small, "calibration", classes=1000)
    assert [name.startswith("collage") for name in photos.names] == [False, True] * 4
    collages = photos.pixels[1::2].astype(int)
    for index, collage in enumerate(collages):
        assert all(np.abs(collage - other).mean() > 5 for other in collages[:index])


def test_validation_has_plain_crops_only(small):
    names = Samples(40).load(small, "validation", classes=1000).names
    assert not [name for name in names if "collage" in name]


def test_a_larger_count_keeps_the_crops_of_a_smaller_one(small):
    few, many = (Samples(count).load(small, "validation", classes=1000) for count in (10, 30))
    np.testing.assert_array_equal(many.pixels[:10], few.pixels)


def test_the_first_crop_is_the_whole_photo():
    first = Samples(1).load(TORCHVISION, "calibration", classes=1000)
    china = samples.read_photo(samples.package_file(*PHOTOS["calibration"][0]))
    np.testing.assert_array_equal(first.pixels[0], to_pixels(china, TORCHVISION))


def test_samples_open_no_connection(small, monkeypatch):
    def refused(*args, **kwargs):
        raise AssertionError("samples reached for the network")

    monkeypatch.setattr(socket, "socket", refused)
    assert len(Samples(8).load(small, "calibration", classes=1000)) == 8


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        (("no_such_package", "photo.png"), "no_such_package is not installed"),
        (("skimage", "data", "lost.png"), r"skimage has no file data/lost\.png"),
    ],
)
def test_a_missing_package_or_photo_is_a_data_error(small, monkeypatch, path, problem):
    monkeypatch.setitem(PHOTOS, "calibration", (path,))
    with pytest.raises(DataError, match=problem):
        Samples(1).load(small, "calibration", classes=1000)
