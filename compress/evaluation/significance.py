"""Difference between two networks on the same photos, and its significance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from compress.evaluation.comparison_record import PairedAccuracy
from compress.evaluation.intervals import bootstrap_interval, paired_counts


def paired_accuracy(correct_a: NDArray[np.bool_], correct_b: NDArray[np.bool_]) -> PairedAccuracy:
    """Return the difference between two networks; the arrays say of each photo whether a network is right."""
    only_a, only_b = paired_counts(correct_b, correct_a)
    difference = bootstrap_interval(correct_b.astype(np.float64) - correct_a)
    return PairedAccuracy(only_a, only_b, difference, mcnemar(only_a, only_b))


def mcnemar(only_before: int, only_after: int) -> float:
    """Return the two-sided p-value of the exact test on the photos that only one network classifies correctly.

    It is 1 if there are none.

    Source: McNemar 1947, "Note on the sampling error of the difference between correlated proportions", in the exact
    form: a binomial test of the discordant pairs.
    """
    changed = only_before + only_after
    return float(binomtest(only_before, changed, 0.5).pvalue) if changed else 1.0
