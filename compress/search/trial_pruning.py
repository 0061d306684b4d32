"""Which trials are not worth going on with."""

from __future__ import annotations

from optuna.pruners import BasePruner
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

_MARGIN = 1.1
"""Two divergences on the same photos are told apart where one is a tenth larger."""

_BY = 2
"""Trials that have to be better."""

BYTES = "bytes_at"


class Dominated(BasePruner):
    """Prunes a trial where, at the same step, two that were measured to the end were smaller and closer at once.

    Optuna's own pruners compare one number. Here it would be wrong: what is closer half way mostly is so because it is
    larger, and is too large in the end. A trial's divergence at a step is what it reports; its bytes are in its user
    attribute `bytes_at`, by step.
    """

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        step = trial.last_step
        if step is None:
            return False
        divergence, size = trial.intermediate_values[step], _bytes_at(trial, step)
        better = 0
        for other in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            found, other_size = other.intermediate_values.get(step), _bytes_at(other, step)
            if found is not None and found * _MARGIN < divergence and other_size <= size:
                better += 1
        return better >= _BY


def _bytes_at(trial: FrozenTrial, step: int) -> int:
    return int(trial.user_attrs.get(BYTES, {}).get(str(step), 0))
