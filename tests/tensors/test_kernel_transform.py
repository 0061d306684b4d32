"""The transform of 3x3 kernels."""

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


def test_basis_kernels_go_from_the_highest_frequency_to_the_lowest():
    kernels = kernels_from_coefficients(np.eye(9, dtype=np.float32).reshape(9, 3, 3))
    assert kernels[0].tolist() == [[1, -2, 1], [-2, 4, -2], [1, -2, 1]]
    assert kernels[1].tolist() == [[1, 0, -1], [-2, 0, 2], [1, 0, -1]]
    assert kernels[3].tolist() == [[1, -2, 1], [0, 0, 0], [-1, 2, -1]]
    assert kernels[7].tolist() == [[1, 0, -1]] * 3
    assert kernels[8].tolist() == [[1, 1, 1]] * 3
    assert np.array_equal(kernels.reshape(9, 9), KERNEL_BASIS)
    assert not np.triu(KERNEL_BASIS @ KERNEL_BASIS.T, 1).any()


def test_the_transform_of_any_kernel_inverts():
    kernels = np.random.default_rng(0).standard_normal((5, 7, 3, 3)).astype(np.float32)
    coefficients = coefficients_from_kernels(kernels)
    assert coefficients.shape == kernels.shape
    np.testing.assert_allclose(kernels_from_coefficients(coefficients.astype(np.float32)), kernels, atol=1e-6)


def test_taps_have_the_bits_of_the_specified_additions():
    """A second implementation from docs/format.md: order and rounding are part of the format."""

    def summed(high, middle, low):
        outer = low + high
        return [outer + middle, low - np.float32(2) * high, outer - middle]

    random = np.random.default_rng(0)
    coefficients = (random.standard_normal((200, 3, 3)) * 2.0 ** random.integers(-9, 9, (200, 3, 3))).astype(np.float32)
    for kernel, given in zip(kernels_from_coefficients(coefficients), coefficients, strict=True):
        lines = [summed(*line) for line in given]
        expected = np.array([summed(*column) for column in zip(*lines, strict=True)], dtype=np.float32).T
        assert kernel.tobytes() == np.ascontiguousarray(expected).tobytes()


def test_taps_are_finite_if_16_times_the_largest_coefficient_is():
    largest = np.float32(np.finfo(np.float32).max / MAX_KERNEL_GAIN)
    signs = np.sign(np.random.default_rng(0).standard_normal((2000, 3, 3))).astype(np.float32)
    assert np.isfinite(kernels_from_coefficients(largest * signs)).all()
    assert float(np.abs(kernels_from_coefficients(signs)).max()) == 9


@pytest.mark.parametrize(
    ("shape", "has"), [((2, 3, 3, 3), True), ((0, 1, 3, 3), True), ((3, 3), False), ((2, 2, 3, 1), False)]
)
def test_3x3_kernels_are_the_last_two_of_four_dimensions(shape, has):
    assert has_3x3_kernels(shape) == has
