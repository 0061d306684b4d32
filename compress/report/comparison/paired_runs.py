"""Two runs on the same photos, photo by photo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compress.evaluation.comparison_record import PairedAccuracy
from compress.evaluation.intervals import bootstrap_interval, paired_accuracy, wilson_interval
from compress.evaluation.results import Interval, PhotoOutcomes
from compress.report.comparison.run_files import NamedRun
from compress.report.record import RunRecord


@dataclass(frozen=True)
class PairedRun:
    """A run, B, beside the reference run, A, on the same validation photos.

    Attributes:
        name: of B.
        top1: None without labels, like `top5`.
        agreement: fraction of photos with the same top-1 class in both files; Wilson interval.
        divergence_difference_nats: mean divergence from the float network of B minus that of A; bootstrap interval over
            photos. None if the runs have different float networks.
    """

    name: str
    photos: int
    top1: PairedAccuracy | None
    top5: PairedAccuracy | None
    agreement: Interval
    divergence_difference_nats: Interval | None


def same_photos(a: RunRecord, b: RunRecord) -> bool:
    """Return whether two runs were validated on the same pixels and labels, in the same order."""
    return validation_fingerprint(a) == validation_fingerprint(b)


def validation_fingerprint(record: RunRecord) -> str:
    """Return the fingerprint of the validation photos; empty if the record names none."""
    return next((data.fingerprint for data in record.data if data.role == "validation"), "")


def pair(a: NamedRun, b: NamedRun) -> PairedRun | None:
    """Compare run B with run A photo by photo; None if their photos differ, or one has no results on single photos."""
    ours, theirs = a.record.outcomes, b.record.outcomes
    if ours is None or theirs is None or not same_photos(a.record, b.record):
        return None
    if len(ours.top1_classes) != len(theirs.top1_classes):
        return None
    same_network = a.record.weights_sha256 == b.record.weights_sha256
    divergences = np.subtract(theirs.divergences_nats, ours.divergences_nats)
    return PairedRun(
        name=b.name,
        photos=len(ours.top1_classes),
        top1=_paired_accuracy(ours, theirs, 1),
        top5=_paired_accuracy(ours, theirs, 5),
        agreement=wilson_interval(np.equal(ours.top1_classes, theirs.top1_classes)),
        divergence_difference_nats=bootstrap_interval(divergences) if same_network else None,
    )


def _paired_accuracy(a: PhotoOutcomes, b: PhotoOutcomes, k: int) -> PairedAccuracy | None:
    if a.label_ranks is None or b.label_ranks is None:
        return None
    return paired_accuracy(_correct(a.label_ranks, k), _correct(b.label_ranks, k))


def _correct(ranks: tuple[int, ...], k: int) -> NDArray[np.bool_]:
    return (np.array(ranks) > 0) & (np.array(ranks) <= k)
