"""Search for the largest lambda at which a file meets limits on quality."""

from __future__ import annotations

import math

import pytest

from compress.quantization.quality_search import FAR_STEP, NEAR_STEP, QualitySearch


def trials_of(limit, first=6e-8, max_gap=0.005, smallest_possible=0.0, first_step=FAR_STEP):
    """Return the tried lambdas and sizes; quality falls as lambda rises and meets the limit up to `limit`."""
    search, trials = QualitySearch(first, max_gap, first_step), []
    while (lambda_ := search.next_lambda()) is not None:
        possible = lambda_ > smallest_possible
        file_bytes = int(1e6 * (1 - math.log(lambda_) / 40)) if possible else None
        trials.append((lambda_, file_bytes))
        search.record(lambda_, file_bytes, met=possible and lambda_ <= limit)
    return trials


@pytest.mark.parametrize("first", [1e-9, 6e-8, 1e-4])
@pytest.mark.parametrize("limit", [1e-10, 3e-8, 1e-5, 0.2])
@pytest.mark.parametrize("max_gap", [0.005, 0.03])
def test_the_smallest_file_within_the_limits_is_near_a_file_that_misses_them(limit, first, max_gap):
    trials = trials_of(limit, first, max_gap)
    best = min(file_bytes for lambda_, file_bytes in trials if lambda_ <= limit)
    missed = max(file_bytes for lambda_, file_bytes in trials if lambda_ > limit)
    assert best * (1 - max_gap) <= missed < best
    assert len(trials) <= 15


@pytest.mark.parametrize("limit", [5.4e-8, 6.6e-8])
def test_a_search_near_the_result_needs_half_of_the_trials(limit):
    near, far = (trials_of(limit, first_step=step) for step in (NEAR_STEP, FAR_STEP))
    assert len(near) <= len(far) / 2


def test_limits_that_every_file_meets_end_at_the_largest_lambda():
    assert trials_of(limit=2)[-1][0] == 1


def test_limits_that_no_file_meets_end_at_the_smallest_lambda():
    assert trials_of(limit=0)[-1][0] == pytest.approx(1e-30)


def test_limits_that_no_possible_file_meets_end_near_the_smallest_possible_lambda():
    trials = trials_of(limit=0, smallest_possible=1e-9)
    assert 1e-9 < min(lambda_ for lambda_, file_bytes in trials if file_bytes) < 2e-9


def test_the_search_goes_up_from_a_lambda_that_is_not_possible():
    trials = trials_of(limit=1e-5, first=1e-9, smallest_possible=1e-8)
    assert max(lambda_ for lambda_, _ in trials if lambda_ <= 1e-5) > 0.5e-5


def test_lambdas_stay_between_1e_30_and_1():
    for limit in (0, 2):
        assert all(0.99e-30 < lambda_ <= 1 for lambda_, _ in trials_of(limit))
