"""The verdict on a run in two sentences: its goals, and whether its accuracy changed by more than chance."""

from __future__ import annotations

from compress.evaluation.intervals import mcnemar
from compress.report.record import RunRecord

_SIGNIFICANT = 0.05


def goals_verdict(record: RunRecord) -> tuple[str, str]:
    """Return the verdict on all goals, and its CSS class."""
    goals, missed = len(record.goals), sum(not goal.met for goal in record.goals)
    if not goals:
        return "No goal was set", "muted"
    if missed:
        return (f"Misses {missed} of {goals} goals" if goals > 1 else "Misses its goal"), "missed"
    return {1: "Meets its goal", 2: "Meets both goals"}.get(goals, f"Meets all {goals} goals"), "met"


def accuracy_verdict(record: RunRecord) -> str:
    """Return whether the change of top-1 is more than chance, by McNemar's exact test; empty without labels."""
    fidelity = record.stages[-1].fidelity
    before, after = fidelity.correct_only_before, fidelity.correct_only_after
    if before is None or after is None:
        return ""
    if not before + after:
        return "Both networks classify the same photos correctly."
    p_value = mcnemar(before, after)
    size = "more than chance explains" if p_value < _SIGNIFICANT else "within chance"
    return f"The change of top-1 is {size} (exact McNemar test, p = {p_value:.2g})."
