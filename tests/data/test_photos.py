import numpy as np
import psutil
import pytest

from compress.data.photos import Photos


@pytest.fixture
def mapped(tmp_path):
    """4 MB of photos in a memory map, and a function that returns its resident bytes."""
    path = tmp_path / "photos.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (100, 117, 117, 3), np.uint8))
    photos = Photos(np.load(path, mmap_mode="r"), None, tuple(map(str, range(100))), "100 photos", "")

    def resident():
        return next(part.rss for part in psutil.Process().memory_maps() if part.path == str(path))

    return photos, resident


def test_pages_of_a_memory_map_are_released_after_each_copy(mapped):
    photos, resident = mapped
    np.testing.assert_array_equal(
        photos.at(np.array([7, 3, 99])), np.stack([photos.pixels[index] for index in (7, 3, 99)])
    )
    photos.pixels.sum()
    assert resident() > 3e6
    for start in range(0, 100, 10):
        assert len(photos.at(slice(start, start + 10))) == 10
    assert resident() == 0


def test_selected_photos_are_a_writable_copy(mapped):
    photos, _ = mapped
    selected = photos.at(slice(0, 1))
    before = int(photos.pixels[0, 0, 0, 0])
    selected += 1
    assert photos.pixels[0, 0, 0, 0] == before


@pytest.mark.parametrize("mode", ["c", "r+"])
def test_changes_in_a_writable_map_are_not_lost(tmp_path, mode):
    np.save(tmp_path / "photos.npy", np.zeros((2, 117, 117, 3), np.uint8))
    pixels = np.load(tmp_path / "photos.npy", mmap_mode=mode)
    pixels[1] = 5
    photos = Photos(pixels, None, ("a", "b"), "2 photos", "")
    photos.at(slice(0, 2))
    assert (photos.at(slice(1, 2)) == 5).all()
