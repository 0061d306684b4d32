"""Arrays on disk: the values stay when the memory is released."""

from __future__ import annotations

import numpy as np

from compress.runtime.mapped_arrays import mapped, release_pages
from compress.runtime.memory import resident_bytes


def test_values_and_changes_stay_when_the_memory_is_released(tmp_path):
    array = np.arange(5_000_000, dtype=np.float32).reshape(2, -1)
    on_disk = mapped(array, tmp_path)
    on_disk *= 2
    before = resident_bytes()
    release_pages(on_disk)
    assert resident_bytes() <= before - 0.9 * array.nbytes
    np.testing.assert_array_equal(on_disk, 2 * array)
    assert not list(tmp_path.iterdir())


def test_an_array_in_memory_is_left_alone():
    array = np.arange(3)
    release_pages(array)
    np.testing.assert_array_equal(array, [0, 1, 2])
