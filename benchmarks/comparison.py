"""What a comparison records: the content of `rate-accuracy.json`, and how a point of it is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import ConfigDict, TypeAdapter

from compress.evaluation import metrics
from compress.evaluation.metrics import Outputs
from compress.evaluation.results import Interval
from compress.evaluation.significance import mcnemar
from compress.report.record import DataRecord

SCHEMA_VERSION = 1
SEED = 0
"""Of the bootstrap."""

OURS = "squeeze-compress"
CLASSIC = "squeeze-compress, classic recipe"
NNCODEC = "NNCodec"


@dataclass(frozen=True)
class Paired:
    """How many photos are right, beside the float network on the same photos.

    Attributes:
        share: of the photos that are right; Wilson interval.
        difference: that share less the float network's; bootstrap interval, paired over photos.
        only_before: photos that only the float network gets right.
        only_after: photos that only this point gets right.
        p_value: McNemar's exact test of these two counts.
    """

    share: Interval
    difference: Interval
    only_before: int
    only_after: int
    p_value: float


@dataclass(frozen=True)
class Seconds:
    """How long a point takes.

    Attributes:
        passes: from the float weights to those that are encoded, as the run's report has it; None where that report
            is not there, and for NNCodec, whose encoder does this too.
        encode: from weights to bytes, the median of several.
        decode: from bytes to weights, the median of several.
    """

    passes: float | None
    encode: float
    decode: float


@dataclass(frozen=True)
class Point:
    """One file of one coder.

    Attributes:
        series: `OURS`, `CLASSIC` or `NNCODEC`.
        name: the pipeline, or the quantization parameter as `qp -32`.
        file_bytes: everything that the decoder is given.
        agreement: share of photos with the float network's first answer; Wilson interval.
        divergence_nats: mean Kullback-Leibler divergence from the float network; bootstrap interval over photos.
    """

    series: str
    name: str
    file_bytes: int
    top1: Paired
    top5: Paired
    agreement: Interval
    divergence_nats: Interval
    seconds: Seconds


@dataclass(frozen=True)
class LeftOut:
    """A point that was asked for and is not there, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Comparison:
    """All points of one run.

    Attributes:
        float_bytes: of the float32 weights.
        top1: the float network's; Wilson interval.
        top5: likewise.
        points: in the order of their series, the largest first.
        versions: of the packages that decide the result.
        nncodec_versions: of NNCodec and the packages in its environment; empty where it is left out.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    schema_version: int
    network: str
    weights_source: str
    weights_sha256: str
    float_bytes: int
    photos: DataRecord
    top1: Interval
    top5: Interval
    points: tuple[Point, ...]
    left_out: tuple[LeftOut, ...]
    bootstrap_resamples: int
    bootstrap_seed: int
    command: str
    versions: Mapping[str, str]
    nncodec_versions: Mapping[str, str]
    machine: str


_ADAPTER = TypeAdapter(Comparison)


def to_json(comparison: Comparison) -> str:
    """Return the text of `rate-accuracy.json`."""
    return _ADAPTER.dump_json(comparison, indent=2).decode() + "\n"


def from_json(text: str) -> Comparison:
    """Read what `to_json` wrote, and nothing else."""
    return _ADAPTER.validate_json(text)


def measure(series: str, name: str, file_bytes: int, outputs: Outputs, reference: Outputs, seconds: Seconds) -> Point:
    """Return the point of a network whose outputs on labelled photos are `outputs`, the float network's `reference`."""
    divergences = metrics.divergences(outputs, reference)
    return Point(
        series=series,
        name=name,
        file_bytes=file_bytes,
        top1=_paired(outputs, reference, 1),
        top5=_paired(outputs, reference, 5),
        agreement=metrics.proportion(outputs.logits.argmax(1) == reference.logits.argmax(1)),
        divergence_nats=metrics.bootstrap_interval(divergences, SEED),
        seconds=seconds,
    )


def in_order(points: Sequence[Point]) -> tuple[Point, ...]:
    """Return points by series, the largest file first."""
    series = (OURS, CLASSIC, NNCODEC)
    return tuple(sorted(points, key=lambda point: (series.index(point.series), -point.file_bytes, point.name)))


def _paired(outputs: Outputs, reference: Outputs, first: int) -> Paired:
    hits, before = outputs.hits(first), reference.hits(first)
    lost, won = metrics.paired_counts(hits, before)
    difference = metrics.bootstrap_interval(hits.astype(np.float64) - before.astype(np.float64), SEED)
    return Paired(metrics.proportion(hits), difference, lost, won, mcnemar(lost, won))
