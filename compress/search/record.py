"""What a search records: the content of `search.json`. Units are in the names; shares run from 0 to 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import ConfigDict, TypeAdapter

from compress.pipeline.search_space import Value

SEARCH_VERSION = 1
Origin = Literal["pipeline", "scan", "sampler"]
State = Literal["measured", "pruned", "failed"]
Wanted = Literal["smallest", "closest"]


@dataclass(frozen=True)
class TrialRecord:
    """One choice of values, and how far it was followed.

    Attributes:
        number: counted from 0, over all machines.
        values: by key, as `--set` takes them.
        origin: where they come from: the `pipeline` itself, the sensitivity `scan`, or the `sampler`.
        state: `measured` on all photos, `pruned` as soon as it was not worth going on, or `failed`.
        reason: why it was pruned, or what failed; empty where it was measured.
        file_bytes: of the file; where it was pruned or failed before, had the pipeline stopped there. None if unknown.
        settled: these are the bytes of the file, give or take a fiftieth, and not those half way.
        photos: on which the figures below were measured; 0 where only bytes are known.
        divergence_nats: mean Kullback-Leibler divergence from the float network.
        agreement: share of photos with the float network's first answer.
        top1_lost: drop of top-1 below the float network's; None without labels.
        excess: by how much the goal is missed, as `Measured.excess`; 0 where it is met as far as is known.
        seconds: that it took; short where its stages lay in the cache.
    """

    number: int
    values: Mapping[str, Value]
    origin: Origin
    state: State
    reason: str
    file_bytes: int | None
    settled: bool
    photos: int
    divergence_nats: float | None
    agreement: float | None
    top1_lost: float | None
    excess: float
    seconds: float


@dataclass(frozen=True)
class SearchRecord:
    """One search.

    Attributes:
        version: `SEARCH_VERSION` of the program that wrote it.
        pipeline: name of the pipeline.
        goal: the limits, by their keys in `goal`.
        wanted: what was looked for: the `smallest` file within the goal, or the `closest` to the float network.
        own: the pipeline's own values.
        trials: all that are done, by number.
        winner: number of the trial that won.
        feasible: whether it meets the goal.
        front: numbers of those measured trials that no other beats in bytes and in divergence, the smallest first.
        importances: share that each key has in how the trials differ, by key; empty where they are too few.
        study: where the trials are kept.
        command: how to go on.
        seed: of the run.
        photos: that judged, all of them.
        data: what they are.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    version: int
    pipeline: str
    goal: Mapping[str, float]
    wanted: Wanted
    own: Mapping[str, Value]
    trials: tuple[TrialRecord, ...]
    winner: int
    feasible: bool
    front: tuple[int, ...]
    importances: Mapping[str, float]
    study: str
    command: str
    seed: int
    photos: int
    data: str

    def trial(self, number: int) -> TrialRecord:
        """Return the trial of a number."""
        return next(trial for trial in self.trials if trial.number == number)

    def to_json(self) -> str:
        """Return the text of `search.json`."""
        return TypeAdapter(SearchRecord).dump_json(self, indent=2).decode() + "\n"


def front_of(trials: Sequence[TrialRecord]) -> tuple[int, ...]:
    """Return the numbers of measured trials that no other beats in bytes and in divergence, the smallest first."""
    measured = [trial for trial in trials if trial.state == "measured"]
    front: list[TrialRecord] = []
    for trial in sorted(measured, key=lambda trial: (trial.file_bytes, trial.divergence_nats, trial.number)):
        if not front or (trial.divergence_nats or 0.0) < (front[-1].divergence_nats or 0.0):
            front.append(trial)
    return tuple(trial.number for trial in front)
