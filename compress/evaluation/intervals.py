"""Confidence intervals of 95%, and the difference between two networks on the same photos."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compress.evaluation.comparison_record import PairedAccuracy
from compress.evaluation.results import Interval

BOOTSTRAP_SAMPLES = 9_999

_CONFIDENCE = 0.95
_BOOTSTRAP_BATCH = 500
_MAX_RESAMPLED_VALUES = 5_000
"""The time of a bootstrap interval grows with the square of the number of values: half a minute for 50,000."""


def wilson_interval(successes: NDArray[np.bool_]) -> Interval:
    """Return the fraction of successes with its 95% Wilson interval."""
    return counted_interval(int(successes.sum()), len(successes))


def counted_interval(successes: int, trials: int) -> Interval:
    """Return the fraction of successes among trials with its 95% Wilson interval."""
    from scipy.stats import binomtest  # noqa: PLC0415  slow to import

    interval = binomtest(successes, trials).proportion_ci(_CONFIDENCE, "wilson")
    return Interval(successes / trials, float(interval.low), float(interval.high))


def normal_interval(values: NDArray[np.float64]) -> Interval:
    """Return the mean with its 95% normal interval; a single value has an interval of width 0."""
    from scipy.special import ndtri  # noqa: PLC0415  slow to import, but not as slow as scipy.stats

    mean = float(values.mean())
    standard_error = float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
    half_width = float(ndtri((1 + _CONFIDENCE) / 2)) * standard_error
    return Interval(mean, mean - half_width, mean + half_width)


def bootstrap_interval(values: NDArray[np.float64], seed: int = 0) -> Interval:
    """Return the mean with its 95% bootstrap interval over photos; equal values have an interval of width 0.

    Of more than 5,000 values it is the normal interval, which is as good there.

    Source: Efron 1987, "Better bootstrap confidence intervals" (BCa), as in scipy.
    """
    from scipy.stats import bootstrap  # noqa: PLC0415  slow to import

    mean = float(values.mean())
    if np.ptp(values) == 0:
        return Interval(mean, mean, mean)
    if len(values) > _MAX_RESAMPLED_VALUES:
        return normal_interval(values)
    interval = bootstrap(
        (values,),
        np.mean,
        n_resamples=BOOTSTRAP_SAMPLES,
        batch=_BOOTSTRAP_BATCH,
        confidence_level=_CONFIDENCE,
        method="BCa",
        random_state=np.random.default_rng(seed),  # the name of this argument in scipy 1.13
    ).confidence_interval
    return Interval(mean, float(interval.low), float(interval.high))


def paired_counts(correct: NDArray[np.bool_], correct_before: NDArray[np.bool_]) -> tuple[int, int]:
    """Return the number of photos that are correct only before, and only after."""
    return int((correct_before & ~correct).sum()), int((correct & ~correct_before).sum())


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
    from scipy.stats import binomtest  # noqa: PLC0415  slow to import

    changed = only_before + only_after
    return float(binomtest(only_before, changed, 0.5).pvalue) if changed else 1.0
