"""A study: the trials of a search, which several processes run; each new trial uses the results of all before it."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice, product
from typing import Any

import optuna
import psutil
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.pruners import NopPruner
from optuna.samplers import TPESampler
from optuna.storages import BaseStorage
from optuna.study import Study as OptunaStudy
from optuna.trial import FrozenTrial, Trial, TrialState

from compress.configuration.search_space import SearchParameter, Value
from compress.errors import SqueezeError
from compress.evaluation.goals import Goal
from compress.search.observation import BYTES_AT, Observation, reason_to_prune, smallest_feasible
from compress.search.search_record import Origin, State, TrialRecord

Values = Mapping[str, Value]
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
_MIN_TRIALS_FOR_IMPORTANCES = 8
_LOST = "lost-"
"""Start of a study's attributes that mark lost trials."""

_RESULT = "result"
"""Attribute of a trial: its `TrialRecord`."""

_MAX_POINTS = 10_000
"""Number of points among which an untried one is looked for."""

_MAX_REPEATS = 20
"""Number of suggestions of tried values after which the sampler is not asked any more."""


class Study:
    """The trials of one search, in an Optuna storage."""

    def __init__(
        self, storage: BaseStorage, name: str, parameters: Sequence[SearchParameter], goal: Goal, seed: int
    ) -> None:
        """Open a study; create it if there is none of this name.

        Args:
            storage: of the study.
            name: equal for equal searches.
            parameters: the searched values.
            goal: limits on the file.
            seed: of the sampler.
        """
        self._parameters, self._goal, self._seed = parameters, goal, seed
        self._study: OptunaStudy = optuna.create_study(
            storage=storage, study_name=name, load_if_exists=True, pruner=NopPruner()
        )

    @property
    def is_new(self) -> bool:
        """Whether the study has no trials."""
        return not self._study.get_trials(deepcopy=False)

    def enqueue(self, points: Sequence[tuple[Origin, Values]]) -> None:
        """Add values to try first, in this order."""
        for origin, values in points:
            self._study.enqueue_trial(dict(values), user_attrs={"origin": origin}, skip_if_exists=True)

    def requeue_lost_trials(self) -> None:
        """Mark running trials of dead processes of this machine as failed, and enqueue their values again.

        A trial that died before it had all values is not enqueued: the sampler suggests the same values again.
        """
        for trial in self._trials((TrialState.RUNNING,)):
            if _is_alive(trial.user_attrs.get("worker", {})):
                continue
            self._study.set_user_attr(f"{_LOST}{trial.number}", True)
            self._study.tell(trial.number, state=TrialState.FAIL)
            values = trial.system_attrs.get("fixed_params", trial.params)
            if len(values) == len(self._parameters):
                origin = trial.user_attrs.get("origin", "sampler")
                self._study.enqueue_trial(values, user_attrs={"origin": origin})

    def finished(self) -> list[TrialRecord]:
        """Return the finished trials, by number."""
        results = [(trial.number, trial.user_attrs.get(_RESULT)) for trial in self._trials(_FINISHED)]
        return [TrialRecord(number=number, **result) for number, result in results if result]

    def importances(self) -> dict[str, float]:
        """Return the contribution of each key to the differences between trials; empty if there are too few."""
        if len(self._trials((TrialState.COMPLETE,))) < _MIN_TRIALS_FOR_IMPORTANCES:
            return {}
        return optuna.importance.get_param_importances(self._study, evaluator=PedAnovaImportanceEvaluator())

    def run_trial(self, observe: Callable[[Values], Iterator[Observation]]) -> TrialRecord | None:
        """Run one trial with new values.

        Args:
            observe: yields the observations of a trial with these values; it is not resumed once the trial is pruned.
        Returns:
            None: all values were tried.
        Raises:
            SqueezeError: the trial with the pipeline's initial values failed.
        """
        asked = self._ask_new()
        if asked is None:
            return None
        trial, values = asked
        started = time.perf_counter()
        origin: Origin = trial.user_attrs.get("origin", "sampler")
        state, last, reason = self._follow(trial, observe(values), origin)
        record = TrialRecord(
            number=trial.number,
            values=values,
            origin=origin,
            state=state,
            reason=reason,
            file_bytes=last.file_bytes or None,
            is_final_bytes=last.min_bytes is not None,
            photos=last.fidelity.photos if last.fidelity else 0,
            divergence_nats=last.fidelity.error.value if last.fidelity else None,
            agreement=last.fidelity.agreement.value if last.fidelity and last.fidelity.agreement else None,
            top1_drop=last.top1_drop,
            violation=last.violation(self._goal),
            seconds=round(time.perf_counter() - started, 3),
        )
        return self._tell(trial, record)

    def _ask_new(self) -> tuple[Trial, Values] | None:
        """Start a trial with values that no other has; None if there are none left.

        A sampler that knows the best of few values suggests them again and again: then any untried values are next.
        """
        for attempt in range(2 * _MAX_REPEATS):
            if attempt >= _MAX_REPEATS:
                untried = self._untried()
                if untried is None:
                    return None
                self._study.enqueue_trial(untried)
            trial = self._ask()
            trial.set_user_attr("worker", _this_process())
            tried = self._tried()
            values = {each.key: each.rounded(_suggest(trial, each)) for each in self._parameters}
            if values not in tried:
                return trial, values
            self._study.tell(trial, state=TrialState.FAIL)
        return None

    def _untried(self) -> dict[str, Value] | None:
        """Return values that no trial had; None if there are none, or infinitely many."""
        grids = [each.first_values(_MAX_POINTS) for each in self._parameters]
        if not all(grids):
            return None
        keys, tried = [each.key for each in self._parameters], self._tried()
        points = (dict(zip(keys, values, strict=True)) for values in product(*grids))
        return next((point for point in islice(points, _MAX_POINTS) if point not in tried), None)

    def _tried(self) -> list[Values]:
        """Return the values of all finished and running trials."""
        running = (trial.params for trial in self._trials((TrialState.RUNNING,)))
        complete = (params for params in running if len(params) == len(self._parameters))
        rounded = [{each.key: each.rounded(params[each.key]) for each in self._parameters} for params in complete]
        return [*(trial.values for trial in self.finished()), *rounded]

    def _ask(self) -> Trial:
        """Start a trial, with enqueued values or with values of the sampler.

        Each trial has a new sampler, seeded by the number of trials before it. So a search that continues after an
        interruption suggests the same values, and two machines suggest different ones.
        """
        count = len(self._trials((*_FINISHED, TrialState.RUNNING)))
        self._study.sampler = TPESampler(seed=(self._seed * 0x9E3779B1 + count) % 2**32, constant_liar=True)
        return self._study.ask()

    def _follow(
        self, trial: Trial, observations: Iterator[Observation], origin: Origin
    ) -> tuple[State, Observation, str]:
        """Return the state, the last observation and the reason of a trial.

        The trial with the pipeline's initial values is never pruned: all others are compared with it.
        """
        last, bytes_at = Observation(step=-1, file_bytes=0), {}
        smallest = smallest_feasible(self.finished()) if self._goal.bytes is None else None
        try:
            for last in observations:
                bytes_at[str(last.step)] = last.file_bytes
                trial.set_user_attr(BYTES_AT, bytes_at)
                if last.fidelity is not None:
                    trial.report(last.fidelity.error.value, last.step)
                if origin == "pipeline" or last.is_complete:
                    continue
                if reason := reason_to_prune(last, self._goal, smallest, self._trials((TrialState.COMPLETE,))):
                    return "pruned", last, reason
        except SqueezeError as error:
            if origin == "pipeline":
                self._study.tell(trial, state=TrialState.FAIL)
                raise
            return "failed", last, str(error)
        return "measured", last, ""

    def _tell(self, trial: Trial, record: TrialRecord) -> TrialRecord:
        """Store the result of a trial."""
        trial.set_user_attr(_RESULT, {name: value for name, value in asdict(record).items() if name != "number"})
        trial.set_constraint("goal", record.violation)
        if record.state == "measured":
            self._study.tell(trial, record.file_bytes if self._goal.bytes is None else record.divergence_nats)
        else:
            self._study.tell(trial, state=TrialState.PRUNED if record.state == "pruned" else TrialState.FAIL)
        return record

    def _trials(self, states: tuple[TrialState, ...]) -> list[FrozenTrial]:
        lost = self._study.user_attrs
        trials = self._study.get_trials(deepcopy=False, states=states)
        return [trial for trial in trials if f"{_LOST}{trial.number}" not in lost]


def _suggest(trial: Trial, parameter: SearchParameter) -> Value:
    key, limits = parameter.key, parameter.range
    if limits is None:
        choice = trial.suggest_categorical(key, parameter.choices)
        assert choice is not None  # no choice is None
        return choice
    if parameter.is_whole:
        return trial.suggest_int(key, int(limits.min), int(limits.max), log=limits.log)
    return trial.suggest_float(key, float(limits.min), float(limits.max), log=limits.log)


def _this_process() -> dict[str, object]:
    """Return the identity of this process; the start time tells it from a later process with the same id."""
    own = psutil.Process()
    return {"host": platform.node(), "pid": own.pid, "started": own.create_time()}


def _is_alive(worker: Mapping[str, Any]) -> bool:
    """Return whether a trial's process runs; a process of another machine counts as running."""
    if worker.get("host") != platform.node():
        return True
    try:
        return bool(psutil.Process(worker["pid"]).create_time() == worker["started"])
    except psutil.Error:
        return False
