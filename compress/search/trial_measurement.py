"""What is known of a file on the way to it, and whether its goal can still be met."""

from __future__ import annotations

from dataclasses import dataclass

from compress.evaluation.goals import Goal, goal_records
from compress.evaluation.results import Accuracy, Fidelity, Interval

_POINT = 10.0
"""A percentage point of accuracy too many weighs as much as a tenth of the bytes too many."""

_SIGMAS = 1.96
"""Half a 95% interval."""


@dataclass(frozen=True)
class Measured:
    """What is known of a file at one step.

    Attributes:
        step: the stage's place; after the last stage it is counted on with each share of the photos.
        file_bytes: of the file, had the pipeline stopped here.
        least_bytes: what the file will take at least; None where a stage still to come may make it much smaller.
        photos: how many it was judged on; 0 where only its bytes are known.
        fidelity: to the float network, on these; None without photos.
        before: accuracy of the float network on these; None without labels.
        after: accuracy of this network on these.
        of_file: all stages are done: it is the file's own network that was judged.
        on_all: and it was on all photos: there is no more to know.
    """

    step: int
    file_bytes: int
    least_bytes: int | None = None
    photos: int = 0
    fidelity: Fidelity | None = None
    before: Accuracy | None = None
    after: Accuracy | None = None
    of_file: bool = False
    on_all: bool = False

    @property
    def top1_lost(self) -> float | None:
        """By how much top-1 is below the float network's, 0 to 1; None without labels."""
        return self.before.top1.value - self.after.top1.value if self.before and self.after else None

    def excess(self, goal: Goal) -> float:
        """Return by how much a file misses its goal, 0 where it meets it: the sum over the lines of the goal.

        Bytes and divergence count in parts of what is allowed, a percentage point of accuracy or agreement as a tenth.
        Without photos bytes alone count.
        """
        if self.fidelity is None:
            limit = goal.bytes or self.file_bytes
            return max(self.file_bytes / limit - 1, 0.0)
        total = 0.0
        for line in goal_records(goal, self.file_bytes, self.before, self.after, self.fidelity):
            over = abs(line.reached - line.limit)
            scale = _POINT if line.unit in {"points", "share"} else 1 / max(line.limit, 1e-9)
            total += 0.0 if line.met else over * scale
        return total

    def hopeless(self, goal: Goal) -> str:
        """Return in a phrase why the goal will be missed; empty where it may be met, or that is not sure.

        What was judged on some of the photos counts only where it is off by more than its 95% interval.
        """
        if goal.bytes is not None and self.least_bytes is not None and self.least_bytes > goal.bytes:
            return f"{self.file_bytes:,} bytes, more than {goal.bytes:,}"
        if self.fidelity is None or not self.of_file or self.on_all:
            return ""
        agreement, divergence = self.fidelity.agreement, self.fidelity.divergence_nats
        if goal.min_agreement is not None and agreement.high < goal.min_agreement:
            return f"agrees on {agreement.value:.1%} of {self.photos:,} photos"
        if goal.max_divergence is not None and divergence.low > goal.max_divergence:
            return f"KL {divergence.value:.3g} on {self.photos:,} photos"
        lost = self._top1_interval()
        if goal.max_top1_drop is not None and lost is not None and lost.low > goal.max_top1_drop / 100:
            return f"loses {lost.value * 100:.1f} points of top-1 on {self.photos:,} photos"
        return ""

    def _top1_interval(self) -> Interval | None:
        """Return the drop of top-1 with its interval, from the photos that are right in one of the networks alone."""
        if self.fidelity is None or self.top1_lost is None:
            return None
        lost, won = self.fidelity.right_only_before or 0, self.fidelity.right_only_after or 0
        half = _SIGMAS * (lost + won) ** 0.5 / self.photos
        return Interval(self.top1_lost, self.top1_lost - half, self.top1_lost + half)
