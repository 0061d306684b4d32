"""Significance of a difference between two networks."""

from __future__ import annotations

from scipy.stats import binomtest


def mcnemar(only_before: int, only_after: int) -> float:
    """Return the two-sided p-value of the exact test on the photos that only one network classifies correctly.

    It is 1 if there are none.

    Source: McNemar 1947, "Note on the sampling error of the difference between correlated proportions", in the exact
    form: a binomial test of the discordant pairs.
    """
    changed = only_before + only_after
    return float(binomtest(only_before, changed, 0.5).pvalue) if changed else 1.0
