from __future__ import annotations

import numpy as np
import pytest

from compress.calibration.packed_triangular import columns_of, diagonals, packed, symmetric, upper

each = pytest.mark.parametrize("columns", [1, 2, 5, 576])


@each
def test_unpacking_restores_symmetric_and_triangular_matrices(columns):
    roots = np.random.default_rng(0).standard_normal((3, columns, columns)).astype(np.float32)
    matrices = roots + roots.transpose(0, 2, 1)
    triangles = packed(matrices)
    assert triangles.shape == (3, columns * (columns + 1) // 2)
    assert triangles.flags.c_contiguous
    assert columns_of(triangles) == columns
    np.testing.assert_array_equal(symmetric(triangles), matrices)
    np.testing.assert_array_equal(upper(triangles), np.triu(matrices))
    np.testing.assert_array_equal(diagonals(triangles), np.diagonal(matrices, axis1=1, axis2=2))


def test_packed_rows_start_at_the_diagonal():
    assert packed(np.arange(9).reshape(3, 3)).tolist() == [0, 1, 2, 4, 5, 8]
