"""Goals in words: met or missed, the margin, and the cause of a miss. Everything follows from the record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise

from compress.errors import GoalMissed
from compress.evaluation.goals import AGREEMENT, BYTES, DIVERGENCE, RELATIVE_MSE, TOP1_DROP, TOP5_DROP
from compress.evaluation.results import GoalRecord, GoalUnit
from compress.report.breakdown import file_components, layer_bytes, layer_name, weight_layers
from compress.report.formatting import goal_amount, goal_margin, nats, percent, thousands, to_ascii
from compress.report.record import RunRecord, StageRecord

_QUALITY: Mapping[str, Callable[[StageRecord], float | None]] = {
    TOP1_DROP: lambda stage: stage.accuracy.top1.value if stage.accuracy else None,
    TOP5_DROP: lambda stage: stage.accuracy.top5.value if stage.accuracy else None,
    AGREEMENT: lambda stage: stage.fidelity.agreement.value if stage.fidelity.agreement else None,
    DIVERGENCE: lambda stage: stage.fidelity.error.value,
    RELATIVE_MSE: lambda stage: stage.fidelity.error.value,
}
"""The quantity that each goal limits, after a stage."""


def explain_miss(record: RunRecord, goal: GoalRecord) -> str:
    """Return the main cause of a missed goal; empty if the goal was met or the cause is unknown.

    Quality: the stage with the largest loss. Bytes: the largest component and layer, and the stage that added most.
    """
    if goal.met:
        return ""
    if goal.quantity == BYTES:
        return _explain_bytes(record)
    quality = _QUALITY.get(goal.quantity)
    return _explain_loss(record, quality, goal.unit) if quality else ""


def goal_line(goal: GoalRecord) -> str:
    """Return one line for a terminal: the limit, the result, and the margin of a miss."""
    line = f"goal {'met' if goal.met else 'MISSED'}: {goal_result(goal)}"
    return line if goal.met else f"{line}: {to_ascii(goal_margin(goal))}"


def goal_result(goal: GoalRecord) -> str:
    """Return a limit and its result for a terminal: `top-1 drop at most 0.5 points, reached 0.3 points`."""
    limit, reached = (goal_amount(value, goal.unit) for value in (goal.limit, goal.reached))
    return to_ascii(f"{goal.quantity} {goal.bound} {limit}, reached {reached}")


def check_goals(goals: Iterable[GoalRecord]) -> None:
    """Raise `GoalMissed` if a goal was missed; the message names each missed goal and its margin."""
    missed = [f"{goal.quantity} {goal_margin(goal).removeprefix('missed ')}" for goal in goals if not goal.met]
    if missed:
        raise GoalMissed(to_ascii(f"the goal was missed: {', '.join(missed)}"))


def _explain_loss(record: RunRecord, quality: Callable[[StageRecord], float | None], unit: GoalUnit) -> str:
    is_error = unit in {"nats", "ratio"}
    sign, words = (1, nats) if is_error else (-1, percent)
    losses = [
        (sign * (after - before), stage.name, before, after)
        for previous, stage in pairwise(record.stages)
        if (before := quality(previous)) is not None and (after := quality(stage)) is not None
    ]
    loss, name, before, after = max(losses, key=lambda entry: entry[0], default=(0.0, "", 0.0, 0.0))
    if loss <= 0:
        return ""
    amount = goal_amount(loss, unit if is_error else "points")
    return f"stage {name} lost most, {amount}: {words(before)} before it, {words(after)} after"


def _explain_bytes(record: RunRecord) -> str:
    file_bytes = record.file.file_bytes
    largest = max(file_components(record.file), key=lambda component: component.byte_count)
    causes = [f"{largest.name} take most, {_of_file(largest.byte_count, file_bytes)}"]
    if layers := weight_layers(record):
        layer = max(layers, key=layer_bytes)
        causes.append(f"the largest layer is {layer_name(layer)}, {_of_file(layer_bytes(layer), file_bytes)}")
    growth = [(stage.file_bytes - previous.file_bytes, stage.name) for previous, stage in pairwise(record.stages)]
    added, name = max(growth, default=(0, ""))
    if added > 0:
        causes.append(f"stage {name} added {goal_amount(added, 'bytes')}")
    return "; ".join(causes)


def _of_file(byte_count: int, file_bytes: int) -> str:
    return f"{thousands(byte_count)} of {goal_amount(file_bytes, 'bytes')} ({percent(byte_count / file_bytes)})"
