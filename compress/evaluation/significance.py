"""Whether chance alone could have made a difference."""

from __future__ import annotations

from scipy.stats import binomtest


def mcnemar(only_before: int, only_after: int) -> float:
    """Return how often chance alone would part the photos that changed at least this unevenly.

    Two-sided and exact; 1 where no photo changed.
    Source: McNemar 1947, "Note on the sampling error of the difference between correlated proportions", in the exact
    form of the binomial test on the discordant pairs.
    """
    changed = only_before + only_after
    return float(binomtest(only_before, changed, 0.5).pvalue) if changed else 1.0
