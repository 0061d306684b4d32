import numpy as np
import pytest

from compress.data.batches import batches
from compress.data.photos import Photos
from compress.data.transforms import to_input


@pytest.mark.parametrize(("batch_photos", "lengths"), [(2, [2, 2, 1]), (5, [5]), (9, [5])])
def test_batches_hold_every_photo_once_in_order(small, batch_photos, lengths):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 6, 3), np.uint8)
    photos = Photos(pixels, None, tuple("abcde"), "5 photos", "")
    result = list(batches(photos, small, batch_photos))
    assert [len(batch) for batch in result] == lengths
    np.testing.assert_array_equal(np.concatenate(result), to_input(pixels, small))
