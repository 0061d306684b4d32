import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from compress.codecs.trellis import NEXT, QUANTIZER, trellis_indices, trellis_levels

indices = arrays.arrays(
    np.int32, arrays.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=12), elements=st.integers(-9, 9)
)


def column(*numbers):
    return np.array(numbers, np.int32)[:, None]


def test_a_worked_example_goes_through_these_levels():
    # States 0, 1, 3 and 7: quantizers 0, 1, 1, 1.
    assert trellis_levels(column(1, -1, 2, 1))[:, 0].tolist() == [2, -1, 3, 1]


@given(indices)
def test_indices_come_back_from_their_levels(given_indices):
    again = trellis_indices(trellis_levels(given_indices))
    assert again is not None
    np.testing.assert_array_equal(again, given_indices)
    assert again.dtype == np.int32


@pytest.mark.parametrize("levels", [(1,), (2, 2), (0, 0, -3), (2, 1, 2)])
def test_a_level_of_the_other_quantizer_does_not_follow_the_trellis(levels):
    assert trellis_indices(column(*levels)) is None


def test_every_state_is_reached_by_two_and_leads_to_two():
    assert sorted(NEXT.ravel().tolist()) == sorted(2 * list(range(32)))
    assert all(even != odd for even, odd in NEXT.tolist())


def test_both_quantizers_have_half_of_the_states():
    assert QUANTIZER.tolist().count(1) == 16
