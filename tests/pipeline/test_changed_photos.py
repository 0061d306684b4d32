"""The photos whose answer changed: the most certain first, with both answers and a thumbnail."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from compress.data.photos import Photos
from compress.evaluation.metrics import Outputs
from compress.pipeline.changed_photos import changed_photos
from compress.report.record import MAX_CHANGED_PHOTOS

NAMES = ("cat", "dog", "owl")


def photos_and_outputs(count=40, channels=3, labels=None):
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (count, 200, 160, channels), dtype=np.uint8)
    photos = Photos(pixels, labels, tuple(f"{index}.png" for index in range(count)), "", "")
    before, after = (
        Outputs(4 * np.eye(3, dtype=np.float32)[answers] * rng.uniform(0.5, 1, (count, 1)).astype(np.float32), labels)
        for answers in (np.zeros(count, int), np.arange(count) % 3)
    )
    return photos, before, after


def test_only_photos_with_another_answer_are_listed_and_the_most_certain_come_first():
    changed = changed_photos(*photos_and_outputs(), NAMES)
    assert len(changed) == MAX_CHANGED_PHOTOS == 24
    assert all(each.before.name == "cat" and each.after.name in {"dog", "owl"} for each in changed)
    certainty = [each.before.probability + each.after.probability for each in changed]
    assert certainty == sorted(certainty, reverse=True)
    assert len(changed_photos(*photos_and_outputs(count=3), NAMES)) == 2


def test_no_photo_changed():
    photos, before, _ = photos_and_outputs()
    assert changed_photos(photos, before, before, NAMES) == ()


def test_a_label_is_shown_by_its_name():
    labels = np.full(40, 2)
    assert {each.label for each in changed_photos(*photos_and_outputs(labels=labels), NAMES)} == {"owl"}
    assert {each.label for each in changed_photos(*photos_and_outputs(), NAMES)} == {None}


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_a_thumbnail_is_a_small_jpeg_of_the_photo(channels, mode):
    changed, *_ = changed_photos(*photos_and_outputs(channels=channels), NAMES)
    image = Image.open(io.BytesIO(base64.b64decode(changed.thumbnail)))
    assert (image.format, image.mode, image.size) == ("JPEG", mode, (102, 128))
    assert len(changed.thumbnail) < 20_000
