"""Metrics with confidence intervals, as records and reports hold them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


def significant(value: float) -> float:
    """Return `value` with four significant digits."""
    return float(f"{value:.4g}")


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95% confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Accuracy:
    """Top-1 and top-5 on labeled photos, with Wilson intervals."""

    photos: int
    top1: Interval
    top5: Interval


@dataclass(frozen=True)
class Fidelity:
    """Agreement of a network with the float network; needs no labels.

    Attributes:
        agreement: fraction of photos with the same top-1 class, Wilson interval; of maps, the mean fraction of
            positions, normal interval. None for values.
        divergence_nats: mean Kullback-Leibler divergence of the softmax; normal interval, cut at 0. None for values.
        correct_only_before: photos that only the float network classifies correctly; None without labels.
        correct_only_after: photos that only this network classifies correctly; None without labels.
        relative_mse: mean squared error of values, relative to the variance of the float network's; normal interval,
            cut at 0. None for distributions.
    """

    photos: int
    agreement: Interval | None
    divergence_nats: Interval | None
    correct_only_before: int | None
    correct_only_after: int | None
    relative_mse: Interval | None = None

    def __post_init__(self) -> None:
        if (self.divergence_nats is None) == (self.relative_mse is None):
            raise ValueError("a fidelity has either divergence_nats or relative_mse")
        if (self.agreement is None) != (self.divergence_nats is None):
            raise ValueError("a fidelity has agreement and divergence_nats, or neither")
        if (self.correct_only_before is None) != (self.correct_only_after is None):
            raise ValueError("a fidelity has correct_only_before and correct_only_after, or neither")

    @property
    def error(self) -> Interval:
        """The divergence, or the relative mean squared error."""
        error = self.divergence_nats or self.relative_mse
        assert error is not None
        return error

    @property
    def error_name(self) -> str:
        """Name of `error`, for reports."""
        return "relative MSE" if self.divergence_nats is None else "KL, nats"


@dataclass(frozen=True)
class PhotoOutcomes:
    """The result of a network on each photo, in the order of the photos: it pairs runs on the same photos.

    Attributes:
        top1_classes: index of the most probable class.
        label_ranks: 1 if the label is the most probable class, up to 5; 0: it is not among the best five. None without
            labels.
        divergences_nats: Kullback-Leibler divergence from the float network, four significant digits.
    """

    top1_classes: tuple[int, ...]
    label_ranks: tuple[int, ...] | None
    divergences_nats: tuple[float, ...]

    def __post_init__(self) -> None:
        lengths = {
            len(column) for column in (self.top1_classes, self.label_ranks, self.divergences_nats) if column is not None
        }
        if len(lengths) > 1:
            raise ValueError("the fields list different numbers of photos")


@dataclass(frozen=True)
class Prediction:
    """One class and its probability."""

    index: int
    name: str
    probability: float


GoalUnit = Literal["bytes", "fraction", "points", "nats", "ratio"]


@dataclass(frozen=True)
class GoalRecord:
    """One limit of a goal and its result.

    Attributes:
        quantity: the limited quantity, such as `bytes of the file` or `top-1 drop`.
        unit: of `limit` and `reached`; `points` is a difference of two fractions, -1 to 1; `ratio` is a squared error
            over a variance.
        bound: whether `limit` is a maximum or a minimum.
    """

    quantity: str
    unit: GoalUnit
    bound: Literal["at most", "at least"]
    limit: float
    reached: float
    met: bool
