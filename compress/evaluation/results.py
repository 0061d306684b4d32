"""TODO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95% confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Accuracy:
    """Top-1 and top-5 on labelled photos; intervals are Wilson's."""

    photos: int
    top1: Interval
    top5: Interval


@dataclass(frozen=True)
class Fidelity:
    """How close a network's outputs are to the float network's, labels or none.

    Attributes:
        photos: how many were compared.
        agreement: share of photos with the same top-1 class; Wilson interval.
        divergence_nats: mean Kullback-Leibler divergence of its softmax from the float network's; normal interval.
        right_only_before: labelled photos that only the float network gets right; None without labels.
        right_only_after: labelled photos that only this network gets right; None without labels.
    """

    photos: int
    agreement: Interval
    divergence_nats: Interval
    right_only_before: int | None
    right_only_after: int | None


GoalUnit = Literal["bytes", "share", "points", "nats"]


@dataclass(frozen=True)
class GoalRecord:
    """One line of the goal.

    Attributes:
        quantity: what was limited, in words: `bytes of the file`, `top-1 lost`.
        unit: of `limit` and `reached`. `share` runs from 0 to 1 and is shown in percent; `points` is a difference
            of two shares, -1 to 1, and is shown in percentage points.
        bound: whether `limit` is the most or the least that is allowed.
        met: how it went, as the pipeline decided it.
    """

    quantity: str
    unit: GoalUnit
    bound: Literal["at most", "at least"]
    limit: float
    reached: float
    met: bool
