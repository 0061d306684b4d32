"""A study: trials that one process or several make one after the other, each knowing of all before it."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import optuna
import psutil
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.samplers import TPESampler
from optuna.storages import BaseStorage
from optuna.study import Study as OptunaStudy
from optuna.trial import FrozenTrial, Trial, TrialState

from compress.errors import SqueezeError
from compress.evaluation.goals import Goal
from compress.pipeline.search_space import Searchable, Value
from compress.search.record import Origin, State, TrialRecord
from compress.search.trial_measurement import Measured
from compress.search.trial_pruning import BYTES, Dominated

Values = Mapping[str, Value]
_DONE = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
_FEWEST_FOR_IMPORTANCES = 8
_RESULT = "result"
_LOST = "lost-"


class Study:
    """The trials of one search."""

    def __init__(self, storage: BaseStorage, name: str, search: Sequence[Searchable], goal: Goal, seed: int) -> None:
        """Open a study, and begin it where there is none of that name.

        Args:
            storage: where it lies.
            name: the same for the same search.
            search: what may be chosen.
            goal: what a file must reach.
            seed: of the run; what is chosen derives from it and from what the trials before it have shown.
        """
        self._search, self._goal, self._seed = search, goal, seed
        self._study: OptunaStudy = optuna.create_study(
            storage=storage, study_name=name, load_if_exists=True, pruner=Dominated()
        )

    @property
    def is_new(self) -> bool:
        """Whether nobody has begun it."""
        return not self._study.get_trials(deepcopy=False)

    def begin_with(self, points: Sequence[tuple[Origin, Values]]) -> None:
        """Say which values are tried first, in this order."""
        for origin, values in points:
            self._study.enqueue_trial(dict(values), user_attrs={"origin": origin}, skip_if_exists=True)

    def take_up_what_was_lost(self) -> None:
        """Try again what processes of this machine were at that are no longer there.

        What had not got all its values yet is left out: the sampler will suggest the same again.
        """
        for trial in self._trials((TrialState.RUNNING,)):
            if _is_alive(trial.user_attrs.get("worker", {})):
                continue
            self._study.set_user_attr(f"{_LOST}{trial.number}", True)
            self._study.tell(trial.number, state=TrialState.FAIL)
            values = trial.system_attrs.get("fixed_params", trial.params)
            if len(values) == len(self._search):
                origin = trial.user_attrs.get("origin", "sampler")
                self._study.enqueue_trial(values, user_attrs={"origin": origin})

    def done(self) -> list[TrialRecord]:
        """Return the trials that are done, by number."""
        found = [(trial.number, trial.user_attrs.get(_RESULT)) for trial in self._trials(_DONE)]
        return [TrialRecord(number=number, **result) for number, result in found if result]

    def running(self) -> int:
        """Return how many trials are still running, here or elsewhere."""
        return len(self._trials((TrialState.RUNNING,)))

    def importances(self) -> dict[str, float]:
        """Return which share each key has in how the measured trials differ; empty where they are too few."""
        if len(self._trials((TrialState.COMPLETE,))) < _FEWEST_FOR_IMPORTANCES:
            return {}
        return optuna.importance.get_param_importances(self._study, evaluator=PedAnovaImportanceEvaluator())

    def next_trial(self, measure: Callable[[Values], Iterator[Measured]]) -> TrialRecord:
        """Make a trial.

        Args:
            measure: yields what is known of a file with such values, step by step; it is asked no further once the
                trial is not worth it.
        Raises:
            SqueezeError: the pipeline's own values failed, and others would say nothing.
        """
        trial = self._asked()
        trial.set_user_attr("worker", asdict(_this_process()))
        values = {each.key: each.rounded(_suggested(trial, each)) for each in self._search}
        twin = next((done for done in self.done() if done.values == values), None)
        if twin is not None:
            return self._told(trial, replace(twin, number=trial.number, seconds=0.0))
        started = time.perf_counter()
        origin: Origin = trial.user_attrs.get("origin", "sampler")
        state, known, reason = self._followed(trial, measure(values), origin)
        record = TrialRecord(
            number=trial.number,
            values=values,
            origin=origin,
            state=state,
            reason=reason,
            file_bytes=known.file_bytes if known else None,
            settled=known is not None and known.least_bytes is not None,
            photos=known.photos if known else 0,
            divergence_nats=known.fidelity.divergence_nats.value if known and known.fidelity else None,
            agreement=known.fidelity.agreement.value if known and known.fidelity else None,
            top1_lost=known.top1_lost if known else None,
            excess=known.excess(self._goal) if known else 0.0,
            seconds=round(time.perf_counter() - started, 3),
        )
        return self._told(trial, record)

    def _asked(self) -> Trial:
        """Begin a trial: of values that wait to be tried, or of those that the sampler suggests.

        The sampler is made anew each time, from the seed and from how many trials there were: one that goes on after
        an interruption suggests what it would have suggested, and two machines do not suggest the same.
        """
        begun = len(self._trials((*_DONE, TrialState.RUNNING)))
        self._study.sampler = TPESampler(seed=(self._seed * 0x9E3779B1 + begun) % 2**32, constant_liar=True)
        return self._study.ask()

    def _followed(
        self, trial: Trial, measure: Iterator[Measured], origin: Origin
    ) -> tuple[State, Measured | None, str]:
        """Follow a trial while it is worth it; the pipeline's own values to the end: others are compared with them."""
        known, sizes, enough = None, {}, self._smallest_found()
        try:
            for known in measure:
                sizes[str(known.step)] = known.file_bytes
                trial.set_user_attr(BYTES, sizes)
                if known.fidelity is not None:
                    trial.report(known.fidelity.divergence_nats.value, known.step)
                if origin == "pipeline" or known.on_all:
                    continue
                if reason := known.hopeless(self._goal):
                    return "pruned", known, reason
                if enough is not None and known.least_bytes is not None and known.least_bytes >= enough:
                    return "pruned", known, f"{known.file_bytes:,} bytes, and {enough:,} are enough"
                if known.fidelity is not None and trial.should_prune():
                    return "pruned", known, "others are smaller and closer"
        except SqueezeError as error:
            if origin == "pipeline":
                self._study.tell(trial, state=TrialState.FAIL)
                raise
            return "failed", known, str(error)
        return "measured", known, ""

    def _smallest_found(self) -> int | None:
        """Return the bytes of the smallest file that meets the goal; None where that is not what is wanted."""
        if self._goal.bytes is not None:
            return None
        sizes = [trial.file_bytes for trial in self.done() if trial.state == "measured" and trial.excess == 0]
        return min((size for size in sizes if size is not None), default=None)

    def _told(self, trial: Trial, record: TrialRecord) -> TrialRecord:
        """Keep what a trial showed, for all that come after it."""
        trial.set_user_attr(_RESULT, {name: value for name, value in asdict(record).items() if name != "number"})
        trial.set_constraint("goal", record.excess)
        if record.state == "measured":
            self._study.tell(trial, record.file_bytes if self._goal.bytes is None else record.divergence_nats)
        else:
            self._study.tell(trial, state=TrialState.PRUNED if record.state == "pruned" else TrialState.FAIL)
        return record

    def _trials(self, states: tuple[TrialState, ...]) -> list[FrozenTrial]:
        lost = self._study.user_attrs
        found = self._study.get_trials(deepcopy=False, states=states)
        return [trial for trial in found if f"{_LOST}{trial.number}" not in lost]


def _suggested(trial: Trial, each: Searchable) -> Value:
    if each.range is None:
        chosen = trial.suggest_categorical(each.key, each.choices)
        assert chosen is not None  # no choice is
        return chosen
    low, high, step, log = each.range.min, each.range.max, each.range.step, each.range.log
    if each.whole:
        return trial.suggest_int(each.key, int(low), int(high), step=int(step or 1), log=log)
    return trial.suggest_float(each.key, float(low), float(high), step=step, log=log)


@dataclass(frozen=True)
class _Process:
    """A process, so that it is told from a later one of its number."""

    host: str
    pid: int
    started: float


def _this_process() -> _Process:
    own = psutil.Process()
    return _Process(platform.node(), own.pid, own.create_time())


def _is_alive(worker: Mapping[str, Any]) -> bool:
    """Whether a trial's process is there; of another machine's that cannot be told, and it is taken to be."""
    if worker.get("host") != platform.node():
        return True
    try:
        return bool(psutil.Process(worker["pid"]).create_time() == worker["started"])
    except psutil.Error:
        return False
