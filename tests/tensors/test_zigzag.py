from __future__ import annotations

import numpy as np
import pytest

from compress.tensors.zigzag import zigzag_decode, zigzag_encode


def test_small_magnitudes_have_small_codes():
    assert zigzag_encode(np.array([0, -1, 1, -2, 2], np.int16)).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.int32, np.int64])
@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_every_width_and_shape_round_trips(kind, shape):
    limits = np.iinfo(kind)
    numbers = np.resize(np.array([limits.min, limits.max, -1, 0, 1, 7], kind), shape)
    codes = zigzag_encode(numbers)
    assert (codes.dtype.kind, codes.dtype.itemsize, codes.shape) == ("u", numbers.itemsize, shape)
    np.testing.assert_array_equal(zigzag_decode(codes), numbers)
    assert zigzag_decode(codes).dtype == kind


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_every_code_is_of_one_number(kind):
    codes = np.arange(np.iinfo(kind).max + 1, dtype=kind)
    assert len(np.unique(zigzag_decode(codes))) == len(codes)
