"""The record of a search: the content of `search.json`. Units are in the names; fractions run from 0 to 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter

from compress.configuration.search_space import Value

SEARCH_VERSION = 1
Origin = Literal["pipeline", "scan", "sampler"]
State = Literal["measured", "pruned", "failed"]
Objective = Literal["smallest", "closest"]


@dataclass(frozen=True)
class TrialRecord:
    """One trial.

    Attributes:
        number: from 0, over all machines.
        values: by key, as in `--set`.
        origin: of the values: the `pipeline` file, the sensitivity `scan`, or the `sampler`.
        state: `measured` on all photos, `pruned` before that, or `failed`.
        reason: why it was pruned or failed; empty if it was measured.
        file_bytes: of the file, or after the last stage of a pruned or failed trial; None: unknown.
        is_final_bytes: `file_bytes` differs from the final file by 2% at most.
        photos: number behind the next fields; 0: only bytes are known.
        divergence_nats: mean Kullback-Leibler divergence from the float network.
        agreement: fraction of photos with the float network's top-1 class.
        top1_drop: top-1 below the float network's; None without labels.
        violation: see `Observation.violation`; 0: the measurements meet the goal.
        seconds: run time; short if stages were cached.
    """

    number: int
    values: Mapping[str, Value]
    origin: Origin
    state: State
    reason: str
    file_bytes: int | None
    is_final_bytes: bool
    photos: int
    divergence_nats: float | None
    agreement: float | None
    top1_drop: float | None
    violation: float
    seconds: float


@dataclass(frozen=True)
class SearchRecord:
    """One search. The seed, the photos and the program are in the winner's `report.json`.

    Attributes:
        version: `SEARCH_VERSION` of the program.
        pipeline: name of the pipeline.
        goal: the limits, by their keys in `goal`.
        objective: the `smallest` file within the goal, or the `closest` to the float network.
        initial: the values in the pipeline file.
        trials: all finished trials, by number.
        winner: number of the best trial.
        feasible: whether the winner meets the goal.
        pareto_front: see `pareto_front_of`.
        importances: contribution of each key to the differences between trials; empty if there are too few trials.
    """

    version: int
    pipeline: str
    goal: Mapping[str, float]
    objective: Objective
    initial: Mapping[str, Value]
    trials: tuple[TrialRecord, ...]
    winner: int
    feasible: bool
    pareto_front: tuple[int, ...]
    importances: Mapping[str, float]

    def trial(self, number: int) -> TrialRecord:
        """Return the trial with this number."""
        return next(trial for trial in self.trials if trial.number == number)

    def to_json(self) -> str:
        """Return the text of `search.json`."""
        return TypeAdapter(SearchRecord).dump_json(self, indent=2).decode() + "\n"


def pareto_front_of(trials: Sequence[TrialRecord]) -> tuple[int, ...]:
    """Return the numbers of the measured trials on the Pareto front of bytes and divergence, the smallest first."""
    measured = [trial for trial in trials if trial.state == "measured"]
    front: list[TrialRecord] = []
    for trial in sorted(measured, key=lambda trial: (trial.file_bytes, trial.divergence_nats, trial.number)):
        if not front or (trial.divergence_nats or 0.0) < (front[-1].divergence_nats or 0.0):
            front.append(trial)
    return tuple(trial.number for trial in front)
