"""Labels of the calibration photos, and their split into training and validation photos."""

from __future__ import annotations

import numpy as np
import pytest

from compress.errors import DataError
from compress.training.splits import stratified_split, training_labels


def test_each_class_is_split_in_proportion_and_keeps_a_training_photo():
    labels = np.repeat(np.arange(4), [1, 10, 20, 69])
    training, validation = stratified_split(labels, 0.2, 0)
    assert sorted([*training, *validation]) == list(range(100))
    assert np.bincount(labels[validation], minlength=4).tolist() == [0, 2, 4, 14]


def test_a_smaller_validation_split_is_a_subset_of_a_larger_one():
    labels = np.random.default_rng(0).integers(0, 5, 200)
    few, many = (set(stratified_split(labels, fraction, 7)[1].tolist()) for fraction in (0.1, 0.3))
    assert len(few) == 20
    assert few < many
    assert few != set(stratified_split(labels, 0.1, 8)[1].tolist())


def test_an_empty_photo_set_is_refused(photos_of):
    with pytest.raises(DataError, match=r"train needs photos, and data\.calibration has none"):
        training_labels(photos_of(np.zeros((0, 12, 12, 3), np.uint8), np.zeros(0, np.int64)), 6)
