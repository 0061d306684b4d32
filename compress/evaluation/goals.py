"""The goal of a pipeline, and whether a file meets it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from compress.errors import ConfigError
from compress.evaluation.results import Accuracy, Fidelity, GoalRecord, GoalUnit
from compress.networks.compared_output import ComparedOutput
from compress.runtime.option_types import OPTIONS, Bytes

BYTES = "bytes of the file"
TOP1_DROP = "top-1 drop"
TOP5_DROP = "top-5 drop"
AGREEMENT = "agreement with the float network"
DIVERGENCE = "divergence from the float network"
RELATIVE_MSE = "relative mean squared error"

_TOLERANCE = 1e-9
"""Drops are compared as they are shown: 30 lost photos of 1,000 meet a limit of 3 points."""


@dataclass(frozen=True, config=OPTIONS)
class Goal:
    """Limits for the file; None sets no limit.

    Attributes:
        bytes: maximum size on disk; a number, or one with a unit (`500kB`, `460KiB`).
        max_top1_drop: maximum drop of top-1 below the float network, percentage points; needs labels.
        max_top5_drop: the same for top-5.
        min_agreement: minimum fraction of photos with the float network's top-1 class; of maps, of positions.
        max_divergence: maximum mean Kullback-Leibler divergence from the float network, nats.
        max_relative_mse: maximum mean squared error of outputs that are values (`model.outputs`), relative to the
            variance of the float network's.
    """

    bytes: Bytes | None = None
    max_top1_drop: Annotated[float, Field(ge=0, le=100)] | None = None
    max_top5_drop: Annotated[float, Field(ge=0, le=100)] | None = None
    min_agreement: Annotated[float, Field(ge=0, le=1)] | None = None
    max_divergence: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    max_relative_mse: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None

    @property
    def needs_labels(self) -> bool:
        return self.max_top1_drop is not None or self.max_top5_drop is not None

    @property
    def limits_quality(self) -> bool:
        return any(name != "bytes" and limit is not None for name, limit in asdict(self).items())

    def check_output(self, output: ComparedOutput) -> None:
        """Check that the limits suit the compared part of a network's outputs.

        Raises:
            ConfigError: one does not; names it.
        """
        divergence, classes = {"min_agreement", "max_divergence"}, {"max_top1_drop", "max_top5_drop"}
        if output.kind == "values":
            suited = {"max_relative_mse"}
        else:
            suited = divergence | classes if output.is_classes else divergence
        for name, limit in asdict(self).items():
            if name not in suited | {"bytes"} and limit is not None:
                problem = f"does not suit the network's outputs, {output.words}"
                raise ConfigError(problem, key=f"goal.{name}", allowed=", ".join(sorted(suited)))


def goal_records(
    goal: Goal, file_bytes: int, before: Accuracy | None, after: Accuracy | None, fidelity: Fidelity
) -> tuple[GoalRecord, ...]:
    """Return each limit with its result; without accuracy `before` and `after`, limits on drops are left out."""
    records = [_maximum(BYTES, "bytes", goal.bytes, file_bytes)]
    if before is not None and after is not None:
        records += [
            _max_drop(TOP1_DROP, goal.max_top1_drop, before.top1.value - after.top1.value),
            _max_drop(TOP5_DROP, goal.max_top5_drop, before.top5.value - after.top5.value),
        ]
    agreement, limit = fidelity.agreement, goal.min_agreement
    if limit is not None and agreement is not None:
        records.append(GoalRecord(AGREEMENT, "fraction", "at least", limit, agreement.value, agreement.value >= limit))
    if fidelity.divergence_nats is not None:
        records.append(_maximum(DIVERGENCE, "nats", goal.max_divergence, fidelity.divergence_nats.value))
    if fidelity.relative_mse is not None:
        records.append(_maximum(RELATIVE_MSE, "ratio", goal.max_relative_mse, fidelity.relative_mse.value))
    return tuple(record for record in records if record)


def _max_drop(quantity: str, limit_points: float | None, drop: float) -> GoalRecord | None:
    return _maximum(quantity, "points", None if limit_points is None else limit_points / 100, drop)


def _maximum(quantity: str, unit: GoalUnit, limit: float | None, reached: float) -> GoalRecord | None:
    if limit is None:
        return None
    return GoalRecord(quantity, unit, "at most", float(limit), float(reached), reached <= limit + _TOLERANCE)
