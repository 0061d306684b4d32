"""Measurements of a trial, and how far they miss the goal."""

from __future__ import annotations

from dataclasses import dataclass

from compress.evaluation.goals import Goal, goal_records
from compress.evaluation.results import Accuracy, Fidelity, Interval

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
        photos: number of photos measured; 0: only bytes are known.
        fidelity: to the float network; None without photos.
        reference_accuracy: of the float network; None without labels.
        accuracy: of this network; None without labels.
        is_final: the network is the output of the last stage.
        is_complete: the final network was measured on all photos.
    """

    step: int
    file_bytes: int
    min_bytes: int | None = None
    photos: int = 0
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
        Without photos, only bytes count.
        """
        if self.fidelity is None:
            limit = goal.bytes or self.file_bytes
            return max(self.file_bytes / limit - 1, 0.0)
        total = 0.0
        for line in goal_records(goal, self.file_bytes, self.reference_accuracy, self.accuracy, self.fidelity):
            miss = abs(line.reached - line.limit)
            weight = _ACCURACY_WEIGHT if line.unit in {"points", "fraction"} else 1 / max(line.limit, 1e-9)
            total += 0.0 if line.met else miss * weight
        return total

    def reason_to_stop(self, goal: Goal) -> str:
        """Return why the final file will miss the goal; empty if it can still meet it.

        A subset of the photos counts only if its 95% interval is beyond the limit.
        """
        if goal.bytes is not None and self.min_bytes is not None and self.min_bytes > goal.bytes:
            return f"{self.file_bytes:,} bytes, more than {goal.bytes:,}"
        if self.fidelity is None or not self.is_final or self.is_complete:
            return ""
        agreement, divergence = self.fidelity.agreement, self.fidelity.divergence_nats
        if goal.min_agreement is not None and agreement.high < goal.min_agreement:
            return f"agrees on {agreement.value:.1%} of {self.photos:,} photos"
        if goal.max_divergence is not None and divergence.low > goal.max_divergence:
            return f"KL {divergence.value:.3g} on {self.photos:,} photos"
        drop = self._top1_drop_interval()
        if goal.max_top1_drop is not None and drop is not None and drop.low > goal.max_top1_drop / 100:
            return f"loses {drop.value * 100:.1f} points of top-1 on {self.photos:,} photos"
        return ""

    def _top1_drop_interval(self) -> Interval | None:
        """Return the drop of top-1 with its interval, from the photos that only one of the networks gets right."""
        if self.fidelity is None or self.top1_drop is None:
            return None
        lost, won = self.fidelity.correct_only_before or 0, self.fidelity.correct_only_after or 0
        half_width = _SIGMAS * (lost + won) ** 0.5 / self.photos
        return Interval(self.top1_drop, self.top1_drop - half_width, self.top1_drop + half_width)
