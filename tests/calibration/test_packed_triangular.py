from __future__ import annotations

import numpy as np
import pytest

from compress.calibration.packed_triangular import columns_of, diagonals, packed, symmetric, upper

each = pytest.mark.parametrize("columns", [1, 2, 5, 576])


@each
def test_symmetric_and_triangular_matrices_come_back_from_half_of_their_numbers(columns):
    roots = np.random.default_rng(0).standard_normal((3, columns, columns)).astype(np.float32)
    moments = roots + roots.transpose(0, 2, 1)
    triangles = packed(moments)
    assert triangles.shape == (3, columns * (columns + 1) // 2)
    assert triangles.flags.c_contiguous
    assert columns_of(triangles) == columns
    np.testing.assert_array_equal(symmetric(triangles), moments)
    np.testing.assert_array_equal(upper(triangles), np.triu(moments))
    np.testing.assert_array_equal(diagonals(triangles), np.diagonal(moments, axis1=1, axis2=2))


def test_rows_of_a_triangle_follow_each_other_from_the_diagonal_on():
    assert packed(np.arange(9).reshape(3, 3)).tolist() == [0, 1, 2, 4, 5, 8]
