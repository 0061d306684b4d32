"""The statistics file: round trip, damaged files, and the cache of row statistics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from compress.calibration.layer_statistics import LayerStatistics
from compress.calibration.statistics_file import StatisticsFile, write_statistics
from compress.errors import DataError
from compress.runtime.devices import has_bfloat16
from compress.tensors.forms import Dense


@pytest.fixture
def statistics():
    random = np.random.default_rng(0)
    whole = LayerStatistics(np.eye(3), np.ones(4), np.ones(4), random.random((4, 3, 3)).astype(np.float32))
    return {"a.weight": whole, "0.weight": LayerStatistics(np.eye(2), np.ones(5))}


def test_reading_returns_what_was_written(tmp_path, statistics):
    write_statistics(tmp_path / "statistics.npz", statistics.items())
    read = StatisticsFile(tmp_path / "statistics.npz")
    assert list(read) == list(statistics)
    for name, layer in statistics.items():
        for part, expected in vars(layer).items():
            got = getattr(read[name], part)
            assert got is None if expected is None else np.array_equal(got, expected)


def test_layers_are_known_without_reading_them_and_an_unknown_one_is_a_key_error(tmp_path, statistics):
    write_statistics(tmp_path / "statistics.npz", statistics.items())
    read = StatisticsFile(tmp_path / "statistics.npz")
    (tmp_path / "statistics.npz").unlink()
    assert [name in read for name in ("a.weight", "0.weight", "b.weight")] == [True, True, False]
    with pytest.raises(KeyError):
        read["b.weight"]


@pytest.mark.parametrize("length", [0, 100, -1])
def test_a_truncated_file_is_an_error_that_names_the_file(tmp_path, statistics, length):
    path = tmp_path / "statistics.npz"
    write_statistics(path, statistics.items())
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DataError, match=r"statistics\.npz: cannot read .* delete the file"):
        StatisticsFile(path)["a.weight"]


def test_a_flipped_bit_is_an_error(tmp_path, statistics):
    path = tmp_path / "statistics.npz"
    write_statistics(path, statistics.items())
    data = bytearray(path.read_bytes())
    data[data.index(np.eye(3).tobytes()) + 7] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="delete the file"):
        StatisticsFile(path)["a.weight"]


def test_a_folder_that_is_not_writable_is_an_error_with_the_written_bytes(tmp_path, statistics):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"0\.0 GB.*free some disk space, or choose another cache folder"):
        write_statistics(tmp_path / "file" / "statistics.npz", statistics.items())


class TestRowStatistics:
    def test_row_statistics_are_gathered_once(self, context, tmp_path, monkeypatch):
        stored = replace(context, store=tmp_path)
        first = stored.fisher.row_statistics(None, 2)["2.weight"]
        monkeypatch.setattr(
            "compress.calibration.fisher_statistics.accumulate_statistics",
            lambda *args, **options: pytest.fail("gathered again"),
        )
        again = replace(stored, stage="another").fisher.row_statistics(None, 2)["2.weight"]
        assert np.array_equal(first.row_blocks, again.row_blocks)
        assert [path.suffix for path in tmp_path.iterdir()] == [".npz"]

    def test_half_precision_has_a_file_of_its_own_where_the_processor_has_it(self, context, tmp_path):
        stored = replace(context, store=tmp_path)
        for half_precision in (False, True):
            stored.fisher.row_statistics(None, half_precision=half_precision)
        assert len(list(tmp_path.iterdir())) == 1 + has_bfloat16(context.device)

    def test_each_set_of_photos_augmentations_seed_and_network_has_its_own_file(
        self, context, tmp_path, patchwork, tiny
    ):
        stored = replace(context, store=tmp_path)
        stored.fisher.row_statistics(None, 1)
        brighter = replace(tiny, preprocessing=replace(tiny.preprocessing, mean=(0.0, 0.0, 0.0)))
        shifted = tiny.with_tensors({"4.bias": Dense(np.ones(6, np.float32))})
        for other, photos, augmentations in (
            (stored, 30, 1),
            (stored, None, 2),
            (replace(stored, seed=1), None, 1),
            (replace(stored, calibration=patchwork(60, seed=1)), None, 1),
            (replace(stored, reference=shifted), None, 1),
            (replace(stored, reference=brighter), None, 1),
        ):
            before = len(list(tmp_path.iterdir()))
            other.fisher.row_statistics(photos, augmentations)
            assert len(list(tmp_path.iterdir())) == before + 1

    def test_stored_statistics_equal_gathered_ones(self, context, tmp_path):
        stored, fresh = (replace(context, store=store).fisher.row_statistics(None, 2) for store in (tmp_path, None))
        for name in fresh:
            for part, expected in vars(fresh[name]).items():
                assert np.array_equal(getattr(stored[name], part), expected)
