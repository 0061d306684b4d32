"""The slope at which a file has the bytes that it may have."""

from __future__ import annotations

import numpy as np
import pytest

from compress.quantization.lambda_search import SlopeSearch


def tries(share, first, seed=0):
    """The bytes of each file tried, of a network that is a bit other than the search takes networks for.

    From slope to slope they leap a little, as steps change by quarters of octaves.
    """
    search, found, random = SlopeSearch(300_000, first, share), [], np.random.default_rng(seed)
    while (slope := search.next_slope()) is not None:
        bits = 2 + 0.3 * np.cos(np.log(slope)) - 0.7 * np.log(slope / 1e-7) / np.log(4)
        found.append(int(150_000 * max(bits, 0.1) * (1 + 0.001 * random.standard_normal())))
        search.tried(slope, found[-1])
    return found


@pytest.mark.parametrize("share", [0.99, 0.998])
@pytest.mark.parametrize("first", [1e-9, 1e-7, 1e-5])
def test_the_last_file_uses_the_share_asked_for_and_no_more_than_is_allowed(share, first):
    *before, last = tries(share, first)
    assert share * 300_000 <= last <= 300_000
    assert not any(share * 300_000 <= file_bytes <= 300_000 for file_bytes in before)


def test_a_share_that_is_farther_from_all_takes_fewer_tries():
    numbers = [sum(len(tries(share, 2e-7, seed)) for seed in range(30)) for share in (0.99, 0.998)]
    assert numbers[0] < 0.9 * numbers[1]
