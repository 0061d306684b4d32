import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from compress.calibration.packed_triangular import packed
from compress.codecs.primitives.trellis import (
    NO_TRELLIS,
    TRELLIS_256,
    TRELLIS_4096,
    index_of,
    level_of,
    trellis_indices,
    trellis_levels,
)
from compress.quantization.assignment import LayerArrays, assign_levels

indices = arrays.arrays(
    np.int32, arrays.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=12), elements=st.integers(-9, 9)
)
each = pytest.mark.parametrize(("trellis", "states"), [(TRELLIS_256, 256), (TRELLIS_4096, 4096)])


def column(*numbers):
    return np.array(numbers, np.int32)[:, None]


def test_quantizer_0_has_the_even_levels_and_quantizer_1_the_odd_ones_and_zero():
    assert [level_of(index, 0) for index in range(-3, 4)] == [-6, -4, -2, 0, 2, 4, 6]
    assert [level_of(index, 1) for index in range(-3, 4)] == [-5, -3, -1, 0, 1, 3, 5]
    assert all(index_of(level_of(index, quantizer)) == index for index in range(-9, 10) for quantizer in (0, 1))


@pytest.mark.parametrize(
    ("trellis", "levels"),
    [
        (TRELLIS_256, [2, -1, 3, 1, 1]),  # states 0, 1, 3, 6 and 12: quantizers 0, 1, 1, 1, 1
        (TRELLIS_4096, [2, -1, 3, 1, 1]),  # states 0, 1, 3, 7 and 14: quantizers 0, 1, 1, 1, 1
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


@each
@pytest.mark.parametrize("levels", [(1,), (2, 2), (0, 0, -3), (2, 1, 2)])
def test_a_level_of_the_other_quantizer_does_not_follow_a_trellis(trellis, states, levels):
    assert trellis_indices(column(*levels), trellis) is None


def test_levels_follow_the_trellis_that_made_them_and_not_another():
    given_indices = np.random.default_rng(0).integers(-3, 4, (30, 20)).astype(np.int32)
    for trellis, other in ((TRELLIS_256, TRELLIS_4096), (TRELLIS_4096, TRELLIS_256)):
        assert trellis_indices(trellis_levels(given_indices, trellis), trellis) is not None
        assert trellis_indices(trellis_levels(given_indices, trellis), other) is None
    assert trellis_indices(np.zeros((9, 4), np.int32), TRELLIS_4096) is not None


@each
def test_every_state_is_reached_by_two_and_leads_to_two(trellis, states):
    assert sorted(trellis.next_state.ravel().tolist()) == sorted(2 * list(range(states)))
    assert all(even != odd for even, odd in trellis.next_state.tolist())


@each
def test_both_quantizers_have_half_of_the_states(trellis, states):
    assert trellis.quantizer.tolist().count(1) == states // 2
    assert len(trellis.quantizer) == states


@pytest.mark.parametrize("trellis", [NO_TRELLIS, TRELLIS_256, TRELLIS_4096])
def test_predecessors_lead_into_their_state_the_smaller_one_first(trellis):
    for state, transitions in enumerate(trellis.predecessors.tolist()):
        assert transitions == sorted(transitions)
        assert [trellis.next_state[each // 2, each % 2] for each in transitions] == [state, state]


@pytest.mark.parametrize(("trellis", "decibels"), [(NO_TRELLIS, 0.0), (TRELLIS_256, 1.34), (TRELLIS_4096, 1.41)])
def test_evenly_spread_numbers_are_rounded_by_so_much_better_than_by_one_quantizer(trellis, decibels):
    # Far from zero, where each quantizer has every second level, and indices take the same bits.
    numbers = 20 + 200 * np.random.default_rng(0).random((5000, 20))
    ones, factors = np.ones(numbers.shape), packed(np.eye(20, dtype=np.float32)[None])
    layer = LayerArrays(numbers, ones > 0, ones, ones[:, 0], factors)
    levels, _ = assign_levels(layer, np.zeros((1, 2, 401)), trellis)
    errors = levels - numbers
    assert -10 * np.log10(3 * np.square(errors).mean()) == pytest.approx(decibels, abs=0.03)
