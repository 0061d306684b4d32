"""Images in idx files; damaged and inconsistent files are errors."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from compress.data.folder import Folder
from compress.data.idx import Idx
from compress.data.idx_file import read_idx
from compress.data.sources import source_at
from compress.errors import ConfigError, DataError
from compress.model import Preprocessing

GRAY = Preprocessing(4, 5, "squash", "L", 1.0, (0.0,), (1.0,))
IMAGES = np.random.default_rng(0).integers(0, 256, (7, 4, 5), np.uint8)
LABELS = np.array([3, 0, 1, 2, 3, 0, 1], np.uint8)


def idx_bytes(values: np.ndarray) -> bytes:
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def write_set(folder: Path, *, zipped: bool = False, dot: str = "-", images=IMAGES, labels=LABELS) -> Path:
    folder.mkdir(exist_ok=True)
    for part, change in (("train", 0), ("t10k", 1)):
        for name, values in (
            (f"{part}-images{dot}idx3-ubyte", images ^ change),
            (f"{part}-labels{dot}idx1-ubyte", labels),
        ):
            data = idx_bytes(values.astype(np.uint8))
            (folder / (name + ".gz" * zipped)).write_bytes(gzip.compress(data) if zipped else data)
    return folder


@pytest.mark.parametrize(("zipped", "dot"), [(False, "-"), (True, "-"), (False, "."), (True, ".")])
def test_images_and_labels_are_read_from_the_files(tmp_path, zipped, dot):
    source = Idx(write_set(tmp_path / "set", zipped=zipped, dot=dot))
    for role, change, cache in (("calibration", 0, None), ("validation", 1, tmp_path / "cache")):
        photos = source.load(GRAY, role, classes=4, cache=cache)
        np.testing.assert_array_equal(photos.pixels[..., 0], IMAGES ^ change)
        np.testing.assert_array_equal(photos.labels, LABELS)
        assert photos.names[2].endswith(f"-ubyte{'.gz' * zipped} 2")
        assert "7 images from" in photos.description


def test_a_limit_takes_evenly_spread_images_and_labels_can_be_left_out(tmp_path):
    photos = Idx(write_set(tmp_path / "set"), limit=3, labels="none").load(GRAY, "calibration", classes=1000)
    np.testing.assert_array_equal(photos.pixels[..., 0], IMAGES[[0, 2, 4]])
    assert photos.labels is None


def test_a_changed_file_is_read_again(tmp_path):
    source, options = Idx(write_set(tmp_path / "set")), {"classes": 4, "cache": tmp_path / "cache"}
    first = source.load(GRAY, "calibration", **options)
    write_set(tmp_path / "set", images=255 - IMAGES)
    assert source.load(GRAY, "calibration", **options).fingerprint != first.fingerprint


def test_a_folder_of_idx_files_is_detected(tmp_path):
    assert source_at(write_set(tmp_path / "set", zipped=True), 3) == Idx(tmp_path / "set", 3)
    assert source_at(tmp_path, None) == Folder(tmp_path)
    with pytest.raises(ConfigError, match="--label-column: 'kind' names a column, and the photos are of no table"):
        source_at(tmp_path / "set", 3, label_column="kind")


def test_a_missing_file_is_named(tmp_path):
    (write_set(tmp_path / "set") / "t10k-labels-idx1-ubyte").unlink()
    source = Idx(tmp_path / "set")
    source.load(GRAY, "calibration", classes=4)
    with pytest.raises(
        ConfigError, match=r"data\.validation\.path: .*/t10k-labels-idx1-ubyte does not exist, gzipped or"
    ):
        source.load(GRAY, "validation", classes=4)


@pytest.mark.parametrize(
    ("images", "labels", "classes", "message"),
    [
        (IMAGES, LABELS[:-1], 4, "6 labels for 7 images"),
        (IMAGES, LABELS, 3, r"label 0 is 3, but the network has 3 classes \(allowed: 0 to 2\)"),
        (np.zeros((1, 1, 5000), np.uint8), LABELS[:1], 4, r"images of 1 x 5,000 pixels \(allowed: at most 4,096"),
    ],
    ids=["count", "classes", "size"],
)  # fmt: skip
def test_an_inconsistent_data_set_is_an_error(tmp_path, images, labels, classes, message):
    source = Idx(write_set(tmp_path / "set", images=images, labels=labels))
    with pytest.raises(DataError, match=message):
        source.load(GRAY, "calibration", classes=classes)


DATA = idx_bytes(IMAGES)
ZIPPED = gzip.compress(DATA)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "begins with nothing; an idx file of bytes with 3 dimensions begins with 00 00 08 03"),
        (b"\x89PNG\r\n", "begins with 89 50 4e 47"),
        (idx_bytes(LABELS), "begins with 00 00 08 01"),
        (bytes([0, 0, 13, 3]) + DATA[4:], "begins with 00 00 0d 03"),
        (DATA[:9], "ends after 9 bytes, inside the header"),
        (DATA[:-1], "the header says 7 x 4 x 5, 140 bytes; the file holds 139$"),
        (DATA + b"\0", "the header says 7 x 4 x 5, 140 bytes; the file holds more than 140$"),
        (idx_bytes(IMAGES[:0]), "is empty: the header says 0 x 4 x 5"),
        (
            DATA[:4] + b"\xff" * 12 + DATA[16:],
            "the header says 4,294,967,295 x 4,294,967,295 x 4,294,967,295, .* holds 140$",
        ),
        (gzip.compress(DATA[:-1]), "the file holds 139$"),
        (gzip.compress(DATA + b"\0"), "the file holds more than 140$"),
        (gzip.compress(DATA[:4] + b"\xff" * 12 + DATA[16:]), "the file holds at most "),
        (ZIPPED[:-4], "cannot be read: Compressed file ended"),
        (ZIPPED[:40] + b"\xff" * 20 + ZIPPED[60:], "cannot be read: "),
        (ZIPPED[:-6] + b"\0\0" + ZIPPED[-4:], "cannot be read: CRC check failed"),
    ],
)
def test_a_damaged_file_is_a_data_error(tmp_path, data, message):
    file = tmp_path / "train-images-idx3-ubyte"
    file.write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(file, 3)
    assert str(caught.value).startswith(f"{file}: ")


def test_a_gzip_bomb_is_decompressed_no_further_than_its_header_says(tmp_path, monkeypatch):
    file, lengths, read = tmp_path / "bomb", [], gzip.GzipFile.read

    def recorded_read(stream, size=-1):
        data = read(stream, size)
        lengths.append(len(data))
        return data

    monkeypatch.setattr(gzip.GzipFile, "read", recorded_read)
    file.write_bytes(gzip.compress(DATA + bytes(50_000_000)))
    with pytest.raises(DataError, match="holds more than 140"):
        read_idx(file, 3)
    assert lengths == [16, 141]


def test_a_folder_in_place_of_a_file_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_idx(tmp_path, 3)
