"""Trials that are stopped early, because they cannot be the best of a search."""

from __future__ import annotations

import math
from collections.abc import Sequence

from optuna.trial import FrozenTrial

from compress.evaluation.goals import Goal
from compress.search.observation import Observation
from compress.search.search_record import TrialRecord

BYTES_AT = "bytes_at"
"""Attribute of a trial: its bytes by step."""

_DOMINANCE_MARGIN = 1.1
"""A divergence is worse than another on the same photos if it is 10% larger."""

_MIN_DOMINATING = 2
"""Number of better trials that prune one."""


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
