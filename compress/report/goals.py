"""What a goal may limit, and what a miss is owed to. All of it follows from the record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from compress.errors import GoalMissed
from compress.evaluation.goals import AGREEMENT, BYTES, DIVERGENCE, TOP1_LOST, TOP5_LOST
from compress.evaluation.results import GoalRecord, GoalUnit
from compress.report.breakdown import layer_bytes, layer_name, parts_of, weight_layers
from compress.report.formatting import goal_amount, goal_margin, nats, percent, plain, thousands
from compress.report.record import Record, StageRecord

_OF_STAGE: Mapping[str, Callable[[StageRecord], float | None]] = {
    TOP1_LOST: lambda stage: stage.accuracy.top1.value if stage.accuracy else None,
    TOP5_LOST: lambda stage: stage.accuracy.top5.value if stage.accuracy else None,
    AGREEMENT: lambda stage: stage.fidelity.agreement.value,
    DIVERGENCE: lambda stage: stage.fidelity.divergence_nats.value,
}
"""How a stage stands with what a goal limits; where a drop is limited, the share that drops."""


def owed_to(record: Record, goal: GoalRecord) -> str:
    """Return a phrase on what a missed goal is owed to; empty where it was met, or where that cannot be told.

    Of accuracy, agreement and divergence it is the stage that made it worse by most, set beside what the stage before
    it left; a later stage may have won some of that back. Bytes are saved by stages and not lost, so there it is the
    largest part and the largest layer of the file, and a stage that made it larger, if one did.
    """
    if goal.met:
        return ""
    if goal.quantity == BYTES:
        return _owed_bytes(record)
    measure = _OF_STAGE.get(goal.quantity)
    return _worst_stage(record, measure, goal.unit) if measure else ""


def in_words(goal: GoalRecord) -> str:
    """Return a line of the goal for a terminal: the limit, what was reached, and by how much it was missed."""
    limit, reached = (goal_amount(value, goal.unit) for value in (goal.limit, goal.reached))
    told = f"goal {'met' if goal.met else 'MISSED'}: {goal.quantity} {goal.bound} {limit}, reached {reached}"
    return plain(told if goal.met else f"{told}: {goal_margin(goal)}")


def check_met(goals: Iterable[GoalRecord]) -> None:
    """Check that every line of a goal was met.

    Raises:
        GoalMissed: some were not; says which, and by how much.
    """
    missed = [f"{goal.quantity} {goal_margin(goal).removeprefix('missed ')}" for goal in goals if not goal.met]
    if missed:
        raise GoalMissed(plain(f"the goal was missed: {', '.join(missed)}"))


def _worst_stage(record: Record, measure: Callable[[StageRecord], float | None], unit: GoalUnit) -> str:
    left = [measure(stage) for stage in record.stages]
    sign, words = (1, nats) if unit == "nats" else (-1, percent)
    steps = [
        (sign * (after - before), stage.name, before, after)
        for stage, before, after in zip(record.stages[1:], left, left[1:], strict=False)
        if before is not None and after is not None
    ]
    cost, name, before, after = max(steps, key=lambda step: step[0], default=(0.0, "", 0.0, 0.0))
    if cost <= 0:
        return ""
    lost = goal_amount(cost, "nats" if unit == "nats" else "points")
    return f"stage {name} lost most, {lost}: {words(before)} before it, {words(after)} after"


def _owed_bytes(record: Record) -> str:
    whole = record.file.file_bytes
    part = max(parts_of(record.file), key=lambda part: part.bytes)
    told = f"{part.name} take most, {_of(part.bytes, whole)}"
    layers = weight_layers(record)
    if layers:
        layer = max(layers, key=layer_bytes)
        told += f"; the largest layer is {layer_name(layer)}, {_of(layer_bytes(layer), whole)}"
    pairs = zip(record.stages, record.stages[1:], strict=False)
    added, name = max(((stage.file_bytes - before.file_bytes, stage.name) for before, stage in pairs), default=(0, ""))
    return f"{told}; stage {name} added {goal_amount(added, 'bytes')}" if added > 0 else told


def _of(count: int, whole: int) -> str:
    return f"{thousands(count)} of {goal_amount(whole, 'bytes')} ({percent(count / whole)})"
