"""Codebooks before the first assignment."""

from __future__ import annotations

import numpy as np
import pytest

from compress.quantization.codebooks import CodebookOptions


@pytest.mark.parametrize("spread", [0.5, 3, 40, 1000])
@pytest.mark.parametrize("max_entries", [2, 3, 4, 16, 256])
@pytest.mark.parametrize("init", ["linear", "density", "k-means++"])
@pytest.mark.parametrize("offset", [-2, 0, 2])
def test_first_entries_ascend_include_0_and_are_no_more_than_the_bits_allow(spread, max_entries, init, offset):
    points = spread * (np.random.default_rng(0).standard_normal(500) + offset)
    options = CodebookOptions(max_entries, init, 20, 4, "float16")
    for entries in options.first_entries(points, np.ones(500), seed=0):
        assert len(entries) <= max_entries
        assert (np.diff(entries) > 0).all()
        assert 0 in entries


def test_with_enough_entries_they_are_one_optimal_step_apart_and_exceed_the_points():
    points = np.array([-3.4, 0.2, 5.1])
    options = CodebookOptions(64, "linear", 100, 4, "float16")
    assert not options.is_scarce(points)
    (entries,) = options.first_entries(points, np.ones(3), seed=0)
    assert entries.tolist() == list(range(-20, 23))


def test_scarce_entries_begin_from_k_means_or_evenly_spaced_to_the_ends_of_the_points():
    points = np.linspace(-30, 80, 1000)
    options = CodebookOptions(16, "linear", 100, 4, "float16")
    assert options.is_scarce(points)
    from_k_means, even = options.first_entries(points, np.ones(1000), seed=0)
    assert len(from_k_means) == 16
    assert (even[0] <= -30, even[-1] >= 80) == (True, True)
    assert np.diff(even) == pytest.approx(110 / 14)
