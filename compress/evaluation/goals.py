"""TODO."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from compress.evaluation.results import Accuracy, Fidelity, GoalRecord
from compress.runtime.byte_size import Bytes

_STRICT = ConfigDict(extra="forbid")

BYTES = "bytes of the file"
TOP1_LOST = "top-1 lost"
TOP5_LOST = "top-5 lost"
AGREEMENT = "agreement with the float network"
DIVERGENCE = "divergence from the float network"


def goal_records(
    goal: Goal, file_bytes: int, before: Accuracy | None, after: Accuracy | None, fidelity: Fidelity
) -> tuple[GoalRecord, ...]:
    """Return each line of the goal and whether it was met.

    Args:
        goal: what was to be reached.
        file_bytes: of the file.
        before: accuracy of the network that drops are counted from; None without labels.
        after: accuracy of the file.
        fidelity: of the file to that network.
    """
    records = []
    if goal.bytes is not None:
        records.append(_at_most(BYTES, "bytes", goal.bytes, file_bytes))
    if before is not None and after is not None:
        for limit, quantity, was, became in (
            (goal.max_top1_drop, TOP1_LOST, before.top1, after.top1),
            (goal.max_top5_drop, TOP5_LOST, before.top5, after.top5),
        ):
            if limit is not None:
                records.append(_at_most(quantity, "points", limit / 100, was.value - became.value))
    if goal.min_agreement is not None:
        reached = fidelity.agreement.value
        met = reached >= goal.min_agreement
        records.append(GoalRecord(AGREEMENT, "share", "at least", goal.min_agreement, reached, met))
    if goal.max_divergence is not None:
        divergence = fidelity.divergence_nats.value
        records.append(_at_most(DIVERGENCE, "nats", goal.max_divergence, divergence))
    return tuple(records)


def _at_most(quantity: str, unit: Any, limit: float, reached: float) -> GoalRecord:
    # Shares of whole photos are compared as they are shown: 3 points are met by 30 photos of 1,000.
    return GoalRecord(quantity, unit, "at most", float(limit), float(reached), reached <= limit + 1e-9)


@dataclass(frozen=True, config=_STRICT)
class Goal:
    """What the file must reach; what is not given is not asked.

    Attributes:
        bytes: of the file on disk, at most; a number, or one with a decimal unit (`500kB`).
        max_top1_drop: percentage points of top-1 below the float network, at most; needs labels.
        max_top5_drop: the same for top-5.
        min_agreement: share of photos with the float network's top-1, at least, 0 to 1.
        max_divergence: mean Kullback-Leibler divergence from the float network, at most, nats.
    """

    bytes: Bytes | None = None
    max_top1_drop: Annotated[float, Field(ge=0, le=100)] | None = None
    max_top5_drop: Annotated[float, Field(ge=0, le=100)] | None = None
    min_agreement: Annotated[float, Field(ge=0, le=1)] | None = None
    max_divergence: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None

    @property
    def needs_labels(self) -> bool:
        """Whether it can be judged on labelled photos alone."""
        return self.max_top1_drop is not None or self.max_top5_drop is not None
