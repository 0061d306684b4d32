"""Kernels of 3 by 3 as sums of patterns."""

from __future__ import annotations

import numpy as np
import pytest

from compress.tensors.kernel_transform import (
    KERNEL_BASIS,
    MAX_KERNEL_GAIN,
    coefficients_from_kernels,
    has_3x3_kernels,
    kernels_from_coefficients,
)


def test_each_coefficient_is_of_one_pattern_from_the_finest_to_the_coarsest():
    kernels = kernels_from_coefficients(np.eye(9, dtype=np.float32).reshape(9, 3, 3))
    assert kernels[0].tolist() == [[1, -2, 1], [-2, 4, -2], [1, -2, 1]]
    assert kernels[1].tolist() == [[1, 0, -1], [-2, 0, 2], [1, 0, -1]]
    assert kernels[3].tolist() == [[1, -2, 1], [0, 0, 0], [-1, 2, -1]]
    assert kernels[7].tolist() == [[1, 0, -1]] * 3
    assert kernels[8].tolist() == [[1, 1, 1]] * 3
    assert np.array_equal(kernels.reshape(9, 9), KERNEL_BASIS)
    assert not np.triu(KERNEL_BASIS @ KERNEL_BASIS.T, 1).any()


def test_any_kernel_has_coefficients_that_give_it():
    kernels = np.random.default_rng(0).standard_normal((5, 7, 3, 3)).astype(np.float32)
    found = coefficients_from_kernels(kernels)
    assert found.shape == kernels.shape
    np.testing.assert_allclose(kernels_from_coefficients(found.astype(np.float32)), kernels, atol=1e-6)


def test_a_tap_has_the_bits_of_additions_along_the_kernel_and_then_down_it():
    """Written from docs/format.md; that order and rounding are no detail."""

    def added(finest, middle, coarsest):
        outer = coarsest + finest
        return [outer + middle, coarsest - np.float32(2) * finest, outer - middle]

    random = np.random.default_rng(0)
    coefficients = (random.standard_normal((200, 3, 3)) * 2.0 ** random.integers(-9, 9, (200, 3, 3))).astype(np.float32)
    for found, given in zip(kernels_from_coefficients(coefficients), coefficients, strict=True):
        lines = [added(*line) for line in given]
        expected = np.array([added(*column) for column in zip(*lines, strict=True)], dtype=np.float32).T
        assert found.tobytes() == np.ascontiguousarray(expected).tobytes()


def test_the_largest_tap_is_finite_where_16_times_the_largest_coefficient_is():
    largest = np.float32(np.finfo(np.float32).max / MAX_KERNEL_GAIN)
    signs = np.sign(np.random.default_rng(0).standard_normal((2000, 3, 3))).astype(np.float32)
    assert np.isfinite(kernels_from_coefficients(largest * signs)).all()
    assert float(np.abs(kernels_from_coefficients(signs)).max()) == 9


@pytest.mark.parametrize(
    ("shape", "has"), [((2, 3, 3, 3), True), ((0, 1, 3, 3), True), ((3, 3), False), ((2, 2, 3, 1), False)]
)
def test_kernels_are_the_last_two_of_four_dimensions(shape, has):
    assert has_3x3_kernels(shape) == has
