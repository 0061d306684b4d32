"""Measurements of a trial, how far they miss the goal, and whether the trial can still be the best of a search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial

from compress.evaluation.goals import Goal, goal_records
from compress.evaluation.results import Accuracy, Fidelity
from compress.search.search_record import TrialRecord

BYTES_AT = "bytes_at"
"""Attribute of a trial: its bytes by step."""

_ACCURACY_WEIGHT = 10.0
"""One percentage point of accuracy below its limit weighs as much as 10% of the bytes above theirs."""

_SIGMAS = 1.96
"""Half-width of a 95% interval."""

_DOMINANCE_MARGIN = 1.1
"""A divergence is worse than another on the same photos if it is 10% larger."""

_MIN_DOMINATING = 2
"""Number of better trials that prune one."""


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


def reason_to_prune(last: Observation, goal: Goal, smallest: int | None, complete: Sequence[FrozenTrial]) -> str:
    """Return why a trial is stopped after its last observation; empty if it goes on.

    Args:
        last: observation of the trial.
        goal: limits on the file.
        smallest: bytes of the smallest file that meets the goal, if bytes are minimized.
        complete: trials that were measured to the end.
    """
    if reason := last.reason_to_stop(goal):
        return reason
    if smallest is not None and last.min_bytes is not None and last.min_bytes >= smallest:
        return f"{last.file_bytes:,} bytes, and a trial within the limits has {smallest:,}"
    return "other trials are smaller and closer" if _is_dominated(last, complete) else ""


def smallest_feasible(finished: Sequence[TrialRecord]) -> int | None:
    """Return the bytes of the smallest file that meets the goal; None if there is none."""
    feasible = [trial for trial in finished if trial.state == "measured" and trial.violation == 0]
    return min((trial.file_bytes for trial in feasible if trial.file_bytes is not None), default=None)


def _is_dominated(last: Observation, complete: Sequence[FrozenTrial]) -> bool:
    """Return whether complete trials had less divergence and no more bytes at the same step.

    Optuna's pruners compare one number. After an early stage, a trial with less divergence usually is one with more
    bytes, which fails in the end.
    """
    if last.fidelity is None:
        return False
    better = [
        trial
        for trial in complete
        if trial.intermediate_values.get(last.step, math.inf) * _DOMINANCE_MARGIN < last.fidelity.error.value
        and trial.user_attrs[BYTES_AT][str(last.step)] <= last.file_bytes
    ]
    return len(better) >= _MIN_DOMINATING
