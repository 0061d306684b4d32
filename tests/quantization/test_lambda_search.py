"""Search for the lambda at which a file has a given size."""

from __future__ import annotations

import numpy as np
import pytest

from compress.quantization.lambda_search import LambdaSearch


def trial_sizes(min_fill, first, seed=0, max_bits=64.0):
    """Return the file sizes that a search tries, on a network that differs from the one that it assumes.

    The sizes have noise, because steps change by quarters of octaves. No file has more than `max_bits` a weight.
    """
    search, sizes, random = LambdaSearch(300_000, first, min_fill, 1_200_000), [], np.random.default_rng(seed)
    while (lambda_ := search.next_lambda()) is not None:
        bits = 2 + 0.3 * np.cos(np.log(lambda_)) - 0.7 * np.log(lambda_ / 1e-7) / np.log(4)
        bits = min(bits, max_bits)
        sizes.append(int(150_000 * max(bits, 0.1) * (1 + 0.001 * random.standard_normal())))
        search.record(lambda_, sizes[-1])
    return sizes


@pytest.mark.parametrize("min_fill", [0.99, 0.998])
@pytest.mark.parametrize("first", [1e-9, 1e-7, 1e-5])
def test_the_search_ends_with_the_first_file_between_the_minimum_fill_and_the_limit(min_fill, first):
    *before, last = trial_sizes(min_fill, first)
    assert min_fill * 300_000 <= last <= 300_000
    assert not any(min_fill * 300_000 <= file_bytes <= 300_000 for file_bytes in before)


def test_a_smaller_minimum_fill_takes_fewer_trials():
    trials = [sum(len(trial_sizes(min_fill, 2e-7, seed)) for seed in range(30)) for min_fill in (0.99, 0.998)]
    assert trials[0] < 0.9 * trials[1]


@pytest.mark.parametrize("max_bits", [1.0, 1.5, 1.9])
@pytest.mark.parametrize("first", [1e-10, 1e-8, 1e-6])
def test_a_limit_that_no_file_fills_takes_few_trials(max_bits, first):
    sizes = trial_sizes(0.998, first, max_bits=max_bits)
    assert len(sizes) <= 6
    assert sizes[-1] > 0.99 * 150_000 * max_bits


def test_a_limit_that_only_files_near_the_smallest_lambda_fill_is_filled():
    *_, last = trial_sizes(0.998, 1e-7, max_bits=2.0)
    assert 0.998 * 300_000 <= last <= 300_000
