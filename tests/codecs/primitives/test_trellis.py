import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from compress.codecs.primitives.trellis import (
    MIDDLE_TRELLIS,
    NO_TRELLIS,
    SMALL_TRELLIS,
    TRELLIS,
    trellis_indices,
    trellis_levels,
    trellis_of,
)
from compress.quantization.trellis_search import nearest_path

indices = arrays.arrays(
    np.int32, arrays.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=12), elements=st.integers(-9, 9)
)
each = pytest.mark.parametrize(("trellis", "states"), [(SMALL_TRELLIS, 32), (MIDDLE_TRELLIS, 256), (TRELLIS, 4096)])


def column(*numbers):
    return np.array(numbers, np.int32)[:, None]


@pytest.mark.parametrize(
    ("trellis", "levels"),
    [
        (SMALL_TRELLIS, [2, -1, 3, 1, 2]),  # states 0, 1, 3, 7 and 15: quantizers 0, 1, 1, 1, 0
        (MIDDLE_TRELLIS, [2, -1, 3, 1, 1]),  # states 0, 1, 3, 6 and 12: quantizers 0, 1, 1, 1, 1
        (TRELLIS, [2, -1, 3, 1, 1]),  # states 0, 1, 3, 7 and 14: quantizers 0, 1, 1, 1, 1
    ],
)
def test_a_worked_example_goes_through_these_levels(trellis, levels):
    assert trellis_levels(column(1, -1, 2, 1, 1), trellis)[:, 0].tolist() == levels


@each
@given(given_indices=indices)
def test_indices_come_back_from_their_levels(trellis, states, given_indices):
    again = trellis_indices(trellis_levels(given_indices, trellis), trellis)
    assert again is not None
    np.testing.assert_array_equal(again, given_indices)
    assert again.dtype == np.int32


@pytest.mark.parametrize("levels", [(1,), (2, 2), (0, 0, -3), (2, 1, 2)])
def test_a_level_of_the_other_quantizer_does_not_follow_a_trellis(levels):
    for trellis in (SMALL_TRELLIS, MIDDLE_TRELLIS, TRELLIS):
        assert trellis_indices(column(*levels), trellis) is None
    assert trellis_of(column(*levels)) is None


@pytest.mark.parametrize("trellis", [SMALL_TRELLIS, MIDDLE_TRELLIS, TRELLIS])
def test_levels_tell_which_trellis_they_follow(trellis):
    levels = trellis_levels(np.random.default_rng(0).integers(-3, 4, (30, 20)).astype(np.int32), trellis)
    assert trellis_of(levels) is trellis


def test_of_several_trellises_that_levels_follow_it_is_the_largest():
    assert trellis_of(np.zeros((9, 4), np.int32)) is TRELLIS


@each
def test_every_state_is_reached_by_two_and_leads_to_two(trellis, states):
    assert sorted(trellis.following.ravel().tolist()) == sorted(2 * list(range(states)))
    assert all(even != odd for even, odd in trellis.following.tolist())


@each
def test_both_quantizers_have_half_of_the_states(trellis, states):
    assert trellis.quantizer.tolist().count(1) == states // 2
    assert len(trellis.quantizer) == states


@pytest.mark.parametrize("trellis", [NO_TRELLIS, SMALL_TRELLIS, MIDDLE_TRELLIS, TRELLIS])
def test_arrivals_lead_into_their_state_the_lesser_one_before_first(trellis):
    for state, ways in enumerate(trellis.arrivals.tolist()):
        assert ways == sorted(ways)
        assert [trellis.following[way // 2, way % 2] for way in ways] == [state, state]


@pytest.mark.parametrize(
    ("trellis", "decibels"), [(NO_TRELLIS, 0.0), (SMALL_TRELLIS, 1.22), (MIDDLE_TRELLIS, 1.34), (TRELLIS, 1.41)]
)
def test_evenly_spread_numbers_are_rounded_by_so_much_better_than_by_one_quantizer(trellis, decibels):
    # Far from zero, where each quantizer has every second level, and indices take the same bits.
    numbers = 20 + 200 * np.random.default_rng(0).random((5000, 20))
    errors = nearest_path(numbers, np.ones(numbers.shape, np.bool_), 400, trellis) - numbers
    assert -10 * np.log10(3 * np.square(errors).mean()) == pytest.approx(decibels, abs=0.03)
