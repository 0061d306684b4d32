import os
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from compress.data import decoded_cache, decoding
from compress.data.folder import Folder
from compress.errors import DataError


@pytest.fixture
def folder(tmp_path, draw):
    for number in range(20):
        draw(tmp_path / "photos" / f"{number:02}.png", (10 * number, 5, 5))
    return tmp_path / "photos"


@pytest.fixture
def load(folder, tmp_path, small):
    """Loads the folder through a cache, and returns the photos and how many were decoded."""

    def load_photos(preprocessing=small, cache=tmp_path / "cache", **options):
        decoded = []

        @contextmanager
        def progress(title, total):
            assert total == 20
            yield decoded.append

        photos = Folder(folder, **options).load(
            preprocessing, "calibration", classes=10, cache=cache, progress=progress
        )
        return photos, sum(decoded)

    return load_photos


def test_cached_photos_are_a_memory_map_of_the_same_pixels(load):
    (cached, _), (in_memory, _) = load(), load(cache=None)
    assert isinstance(cached.pixels, np.memmap)
    np.testing.assert_array_equal(cached.pixels, in_memory.pixels)
    assert cached.fingerprint == in_memory.fingerprint


def test_pixels_cannot_be_changed(load, tmp_path):
    for cache in (tmp_path / "cache", None):
        photos, _ = load(cache=cache)
        with pytest.raises(ValueError, match="read-only"):
            photos.pixels[0] = 0


def test_progress_counts_every_photo(load):
    assert load()[1] == 20


def test_the_second_run_decodes_nothing(load):
    first, _ = load()
    second, decoded = load()
    assert decoded == 0
    assert second.fingerprint == first.fingerprint
    assert second.names == first.names


def test_options_that_do_not_change_the_pixels_need_no_decoding(load, small):
    load()
    same_pixels = replace(small, channels="BGR", mean=(1.0, 2.0, 3.0), std=(2.0, 2.0, 2.0), scale=0.5)
    assert load(same_pixels)[1] == 0
    assert load(labels="none")[1] == 0


@pytest.mark.parametrize(
    "change", [{"height": 9}, {"resize": "crop", "short_side": 8}, {"channels": "L"}], ids=["height", "crop", "gray"]
)
def test_other_preprocessing_is_decoded_again(load, small, change):
    load()
    assert load(replace(small, **change))[1]


def test_a_changed_photo_is_decoded_again(load, folder, draw):
    before, _ = load()
    path = draw(folder / "07.png", (5, 5, 200))
    os.utime(path, ns=(0, 0))
    after, decoded = load()
    assert decoded
    assert after.fingerprint != before.fingerprint


def test_skipped_photos_are_remembered_until_they_can_be_read(load, folder, draw):
    (folder / "07.png").write_bytes(b"")
    first, _ = load()
    again, decoded = load()
    assert again.skipped == first.skipped
    assert len(again) == 19
    assert decoded == 0


def test_a_photo_that_becomes_readable_without_a_change_is_read(load, monkeypatch):
    read = decoding.to_pixels
    failures = iter([DataError("the disk was away")])

    def fails_once(photo, preprocessing):
        for error in failures:
            raise error
        return read(photo, preprocessing)

    monkeypatch.setattr(decoding, "to_pixels", fails_once)
    assert len(load()[0]) == 19
    assert len(load()[0]) == 20


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_write_leaves_no_file_and_the_next_run_succeeds(load, tmp_path, monkeypatch, error):
    def interrupts(photo, preprocessing):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(decoding, "to_pixels", interrupts)
        with pytest.raises(error):
            load()
    assert list((tmp_path / "cache").iterdir()) == []
    assert len(load()[0]) == 20


def test_pixels_without_their_record_are_ignored(load, tmp_path):
    load()
    next((tmp_path / "cache").glob("*.json")).unlink()
    assert load()[1]


def test_truncated_pixels_are_ignored(load, tmp_path):
    first, _ = load()
    path = next((tmp_path / "cache").glob("*.npy"))
    content = path.read_bytes()
    for length in (0, 10, 128, len(content) - 1):
        path.unlink()  # cutting a file that is mapped into memory would end this process
        path.write_bytes(content[:length])
        photos, decoded = load()
        assert decoded
        np.testing.assert_array_equal(photos.pixels, first.pixels)


def test_damaged_pixels_are_decoded_again(load, tmp_path):
    first, _ = load()
    path = next((tmp_path / "cache").glob("*.npy"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink()
    path.write_bytes(content)
    photos, decoded = load()
    assert decoded
    np.testing.assert_array_equal(photos.pixels, first.pixels)
    assert load()[1] == 0


@pytest.mark.parametrize("content", ["", "null", "[]", "{}", '{"skipped": [], "pixels_sha256": ""}', '{"skipped": {}}'])
def test_a_damaged_record_is_ignored(load, tmp_path, content):
    load()
    next((tmp_path / "cache").glob("*.json")).write_text(content)
    assert load()[1]


def test_a_full_disk_is_a_data_error_with_the_bytes_that_are_needed(load, tmp_path, monkeypatch):
    def full(entries, preprocessing, stream, progress):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(decoded_cache, "decode", full)
    with pytest.raises(DataError, match=r"20 decoded photos \(0 MB\) to .*No space left"):
        load()
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cache_that_is_a_file_is_a_data_error(load, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot write 20 decoded photos"):
        load(cache=tmp_path / "file")


def test_photos_keep_their_order(load):
    reds = load()[0].pixels[:, 0, 0, 0]
    np.testing.assert_array_equal(reds, np.arange(20) * 10)


def test_a_photo_replaced_by_one_of_the_same_size_and_time_is_decoded_again(load, folder, draw):
    first, _ = load()
    photo = folder / "07.png"
    before = photo.stat()
    draw(photo, (71, 5, 5))
    assert photo.stat().st_size == before.st_size
    os.utime(photo, ns=(before.st_atime_ns, before.st_mtime_ns))
    second, decoded = load()
    assert decoded == 20
    assert second.fingerprint != first.fingerprint
