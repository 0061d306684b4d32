"""Measurements of a trial, and how far they miss the goal."""

from __future__ import annotations

import math
from dataclasses import dataclass

from compress.evaluation.goals import Goal, goal_records
from compress.evaluation.results import Accuracy, Fidelity

_ACCURACY_WEIGHT = 10.0
"""One percentage point of accuracy below its limit weighs as much as 10% of the bytes above theirs."""

_SIGMAS = 1.96
"""Half-width of a 95% interval."""


@dataclass(frozen=True)
class Observation:
    """Measurements after one step of a trial.

    Attributes:
        step: index of the stage; after the last stage, each larger subset of the photos is a step.
        file_bytes: of the file, if the pipeline stopped here.
        min_bytes: lower bound for the final file; None: a later stage can make it much smaller.
        fidelity: to the float network; None: only bytes are known.
        reference_accuracy: of the float network; None without labels.
        accuracy: of this network; None without labels.
        is_final: the network is the output of the last stage.
        is_complete: the final network was measured on all photos.
    """

    step: int
    file_bytes: int
    min_bytes: int | None = None
    fidelity: Fidelity | None = None
    reference_accuracy: Accuracy | None = None
    accuracy: Accuracy | None = None
    is_final: bool = False
    is_complete: bool = False

    @property
    def top1_drop(self) -> float | None:
        """Top-1 of the float network minus top-1 of this one, a fraction; None without labels."""
        if self.reference_accuracy is None or self.accuracy is None:
            return None
        return self.reference_accuracy.top1.value - self.accuracy.top1.value

    def violation(self, goal: Goal) -> float:
        """Return how far the file misses the goal, summed over its limits; 0 if it meets them.

        Bytes and divergence count relative to their limit, a percentage point of accuracy or agreement as 0.1.
        """
        if self.fidelity is None:
            return max(self.file_bytes / goal.bytes - 1, 0.0) if goal.bytes else 0.0
        total = 0.0
        for line in goal_records(goal, self.file_bytes, self.reference_accuracy, self.accuracy, self.fidelity):
            weight = _ACCURACY_WEIGHT if line.unit in {"points", "fraction"} else 1 / max(line.limit, 1e-9)
            total += 0.0 if line.met else abs(line.reached - line.limit) * weight
        return total

    def reason_to_stop(self, goal: Goal) -> str:
        """Return why the final file will miss the goal; empty if it can still meet it.

        A subset of the photos counts only if its 95% interval is beyond the limit.
        """
        if goal.bytes is not None and self.min_bytes is not None and self.min_bytes > goal.bytes:
            return f"{self.file_bytes:,} bytes, more than {goal.bytes:,}"
        if self.fidelity is None or not self.is_final or self.is_complete:
            return ""
        agreement, divergence, photos = self.fidelity.agreement, self.fidelity.error, self.fidelity.photos
        if goal.min_agreement is not None and agreement is not None and agreement.high < goal.min_agreement:
            return f"agrees on {agreement.value:.1%} of {photos:,} photos"
        if goal.max_divergence is not None and divergence.low > goal.max_divergence:
            return f"KL {divergence.value:.3g} on {photos:,} photos"
        drop, limit = self.top1_drop, goal.max_top1_drop
        if drop is not None and limit is not None and drop - _drop_half_width(self.fidelity) > limit / 100:
            return f"loses {drop * 100:.1f} points of top-1 on {photos:,} photos"
        return ""


def _drop_half_width(fidelity: Fidelity) -> float:
    """Return the half-width of the interval of a drop, from the photos that only one of the networks gets right."""
    lost, won = fidelity.correct_only_before or 0, fidelity.correct_only_after or 0
    return _SIGMAS * math.sqrt(lost + won) / fidelity.photos
