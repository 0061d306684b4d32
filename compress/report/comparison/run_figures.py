"""The figures of one run in a comparison."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from compress.evaluation.intervals import bootstrap_interval
from compress.evaluation.results import Fidelity, GoalRecord, Interval
from compress.report.comparison.run_files import NamedRun
from compress.runtime.file_names import escape_undecodable


@dataclass(frozen=True)
class RunFigures:
    """What a run reached.

    Attributes:
        report: path of its `report.json`.
        photos: number of validation photos.
        top1: of the decoded file; None without labels, like `top5`.
        top1_change: accuracy of the file minus that of its float network, paired over the photos; bootstrap interval.
        agreement: with the float network; None if its outputs are values, like `divergence_nats`.
        divergence_nats: from the float network.
        relative_mse: squared error of values over the variance of the float network's; None of distributions.
        seconds: of all stages, without validation.
        peak_memory_bytes: the maximum over the stages.
    """

    name: str
    report: str
    pipeline: str
    network: str
    file_bytes: int
    float_bytes: int
    bits_per_weight: float
    photos: int
    top1: Interval | None
    top5: Interval | None
    top1_change: Interval | None
    agreement: Interval | None
    divergence_nats: Interval | None
    relative_mse: Interval | None
    seconds: float
    peak_memory_bytes: int
    goals: tuple[GoalRecord, ...]

    @property
    def missed(self) -> tuple[GoalRecord, ...]:
        """The goals that the run missed."""
        return tuple(goal for goal in self.goals if not goal.met)


def figures_of(run: NamedRun) -> RunFigures:
    """Return the figures of a run."""
    record, proof = run.record, run.record.stages[-1]
    return RunFigures(
        name=run.name,
        report=escape_undecodable(str(run.file)),
        pipeline=record.pipeline,
        network=record.network,
        file_bytes=record.file.file_bytes,
        float_bytes=record.float_bytes,
        bits_per_weight=proof.bits_per_weight,
        photos=proof.fidelity.photos,
        top1=proof.accuracy.top1 if proof.accuracy else None,
        top5=proof.accuracy.top5 if proof.accuracy else None,
        top1_change=_change(proof.fidelity),
        agreement=proof.fidelity.agreement,
        divergence_nats=proof.fidelity.divergence_nats,
        relative_mse=proof.fidelity.relative_mse,
        seconds=sum(stage.seconds for stage in record.stages),
        peak_memory_bytes=max(stage.peak_memory_bytes for stage in record.stages),
        goals=record.goals,
    )


def _change(fidelity: Fidelity) -> Interval | None:
    """Return the change of top-1, from the numbers of photos that only one of the two networks gets right."""
    lost, gained = fidelity.correct_only_before, fidelity.correct_only_after
    if lost is None or gained is None:
        return None
    unchanged = max(fidelity.photos - lost - gained, 0)
    return bootstrap_interval(np.repeat([-1.0, 1.0, 0.0], [lost, gained, unchanged]))
