"""Significance of a difference between two networks."""

from __future__ import annotations

from scipy.stats import binomtest


def mcnemar(only_before: int, only_after: int) -> float:
    """Return the two-sided p-value of McNemar's exact test; 1 if no photo changed.

    Args:
        only_before: photos that only the first network classifies correctly.
        only_after: photos that only the second network classifies correctly.
    Source: McNemar 1947, "Note on the sampling error of the difference between correlated proportions", in the exact
    form of the binomial test on the discordant pairs.
    """
    changed = only_before + only_after
    return float(binomtest(only_before, changed, 0.5).pvalue) if changed else 1.0
