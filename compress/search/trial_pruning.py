"""Pruning of trials that are dominated by others."""

from __future__ import annotations

from optuna.pruners import BasePruner
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

_MARGIN = 1.1
"""A divergence is worse than another on the same photos if it is 10% larger."""

_MIN_BETTER = 2
"""Number of better trials that prune one."""

BYTES = "bytes_at"
"""User attribute of a trial: its bytes by step."""


class DominancePruner(BasePruner):
    """Prunes a trial if two complete ones had less divergence and no more bytes at the same step.

    Optuna's pruners compare one number. After an early stage, a trial with less divergence usually is one with more
    bytes, which fails in the end. The intermediate value of a step is the divergence.
    """

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Return whether to stop the trial."""
        step = trial.last_step
        if step is None:
            return False
        divergence, file_bytes = trial.intermediate_values[step], _bytes_at(trial, step)
        better = 0
        for other in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            other_divergence = other.intermediate_values.get(step)
            if other_divergence is not None and other_divergence * _MARGIN < divergence:
                better += _bytes_at(other, step) <= file_bytes
        return better >= _MIN_BETTER


def _bytes_at(trial: FrozenTrial, step: int) -> int:
    return int(trial.user_attrs.get(BYTES, {}).get(str(step), 0))
