"""Statistics kept on disk: read back layer by layer, made once, and never trusted when damaged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from compress.calibration.layer_statistics import LayerStatistics
from compress.calibration.statistics_file import StatisticsFile, write
from compress.errors import DataError
from compress.tensors.forms import Dense


@pytest.fixture
def statistics():
    random = np.random.default_rng(0)
    whole = LayerStatistics(np.eye(3), np.ones(4), np.ones(4), random.random((4, 3, 3)).astype(np.float32))
    return {"a.weight": whole, "0.weight": LayerStatistics(np.eye(2), np.ones(5))}


def test_what_is_read_is_what_was_written(tmp_path, statistics):
    write(tmp_path / "kept.npz", statistics)
    read = StatisticsFile(tmp_path / "kept.npz")
    assert list(read) == list(statistics)
    for name, layer in statistics.items():
        for part, wanted in vars(layer).items():
            got = getattr(read[name], part)
            assert got is None if wanted is None else np.array_equal(got, wanted)


def test_a_layer_that_is_not_there_is_no_key(tmp_path, statistics):
    write(tmp_path / "kept.npz", statistics)
    with pytest.raises(KeyError):
        StatisticsFile(tmp_path / "kept.npz")["b.weight"]


@pytest.mark.parametrize("length", [0, 100, -1])
def test_a_file_cut_short_is_an_error_that_names_it(tmp_path, statistics, length):
    path = tmp_path / "kept.npz"
    write(path, statistics)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DataError, match=r"kept\.npz: cannot read .* delete it"):
        StatisticsFile(path)["a.weight"]


def test_a_flipped_bit_is_an_error(tmp_path, statistics):
    path = tmp_path / "kept.npz"
    write(path, statistics)
    data = bytearray(path.read_bytes())
    data[data.index(np.eye(3).tobytes()) + 7] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="delete it"):
        StatisticsFile(path)["a.weight"]


def test_a_folder_that_cannot_be_written_is_an_error_that_says_how_much_room_is_needed(tmp_path, statistics):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"0\.0 GB.*free some space there or give another folder"):
        write(tmp_path / "file" / "kept.npz", statistics)


class TestInAContext:
    def test_they_are_gathered_once(self, context, tmp_path, monkeypatch):
        kept = replace(context, store=tmp_path)
        first = kept.row_statistics(None, 2)["2.weight"]
        monkeypatch.setattr("compress.context.collect", lambda *args, **options: pytest.fail("gathered again"))
        again = replace(kept, stage="another").row_statistics(None, 2)["2.weight"]
        assert np.array_equal(first.own, again.own)
        assert [path.suffix for path in tmp_path.iterdir()] == [".npz"]

    def test_other_photos_views_seeds_or_networks_have_their_own(self, context, tmp_path, patchwork, tiny):
        kept = replace(context, store=tmp_path)
        kept.row_statistics(None, 1)
        shifted = tiny.with_tensors({"4.bias": Dense(np.ones(6, np.float32))})
        for other, photos, views in (
            (kept, 30, 1),
            (kept, None, 2),
            (replace(kept, seed=1), None, 1),
            (replace(kept, calibration=patchwork(60, seed=1)), None, 1),
            (replace(kept, reference=shifted), None, 1),
        ):
            before = len(list(tmp_path.iterdir()))
            other.row_statistics(photos, views)
            assert len(list(tmp_path.iterdir())) == before + 1

    def test_kept_or_not_they_are_the_same(self, context, tmp_path):
        kept, fresh = (replace(context, store=store).row_statistics(None, 2) for store in (tmp_path, None))
        for name in fresh:
            for part, wanted in vars(fresh[name]).items():
                assert np.array_equal(getattr(kept[name], part), wanted)
