"""The content of `rate-accuracy.json`, and the measurement of one point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import ConfigDict, TypeAdapter

from compress.evaluation import intervals, metrics
from compress.evaluation.metrics import Outputs
from compress.evaluation.results import Interval
from compress.report.record import DataRecord

RATE_ACCURACY_VERSION = 3
BOOTSTRAP_SEED = 0

OURS = "squeeze-compress"
CLASSIC = "squeeze-compress, classic recipe"
NNCODEC = "NNCodec"
SERIES = (OURS, CLASSIC, NNCODEC)


@dataclass(frozen=True)
class AccuracyChange:
    """Accuracy of a point, compared with the float network on the same photos.

    Attributes:
        accuracy: fraction of correct photos; Wilson interval.
        difference: that fraction minus the float network's; bootstrap interval, paired over photos.
        only_before: photos that only the float network classifies correctly.
        only_after: photos that only this point classifies correctly.
        p_value: McNemar's exact test of the two counts.
    """

    accuracy: Interval
    difference: Interval
    only_before: int
    only_after: int
    p_value: float


@dataclass(frozen=True)
class PointSeconds:
    """Run times of a point.

    Attributes:
        passes: from the float weights to the weights to encode, from the report of the run; None without that report,
            and for NNCodec, whose encoder includes this work.
        encode: from weights to bytes, median.
        decode: from bytes to weights, median.
    """

    passes: float | None
    encode: float
    decode: float


@dataclass(frozen=True)
class RateAccuracyPoint:
    """One file of one coder.

    Attributes:
        series: one of `SERIES`.
        name: the pipeline, or the quantization parameter as `qp -32`.
        file_bytes: everything that the decoder needs.
        agreement: fraction of photos with the float network's top-1 class; Wilson interval.
        divergence_nats: mean Kullback-Leibler divergence from the float network; bootstrap interval over photos.
    """

    series: str
    name: str
    file_bytes: int
    top1: AccuracyChange
    top5: AccuracyChange
    agreement: Interval
    divergence_nats: Interval
    seconds: PointSeconds


@dataclass(frozen=True)
class OmittedPoint:
    """A requested point that was not measured, and the reason."""

    name: str
    reason: str


@dataclass(frozen=True)
class NetworkCurve:
    """A float network, and the points that are compared with it.

    Attributes:
        name: of the network's first pipeline, without the size.
        network: its architecture.
        float_bytes: size of the float32 weights.
        photos: in the network's preprocessing.
        top1: the float network's; Wilson interval.
        top5: the float network's; Wilson interval.
        points: sorted as by `sort_points`.
    """

    name: str
    network: str
    weights_source: str
    weights_sha256: str
    float_bytes: int
    photos: DataRecord
    top1: Interval
    top5: Interval
    points: tuple[RateAccuracyPoint, ...]


@dataclass(frozen=True)
class RateAccuracyRecord:
    """All points of one run.

    Attributes:
        curves: by float network; at least one.
        omitted: requested points without a measurement.
        versions: versions of the packages that affect the result.
        nncodec_versions: versions of NNCodec and its packages; empty without NNCodec.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    schema_version: int
    curves: tuple[NetworkCurve, ...]
    omitted: tuple[OmittedPoint, ...]
    bootstrap_samples: int
    bootstrap_seed: int
    command: str
    versions: Mapping[str, str]
    nncodec_versions: Mapping[str, str]
    machine: str


_ADAPTER = TypeAdapter(RateAccuracyRecord)


def to_json(record: RateAccuracyRecord) -> str:
    """Return the text of `rate-accuracy.json`."""
    return _ADAPTER.dump_json(record, indent=2).decode() + "\n"


def from_json(text: str) -> RateAccuracyRecord:
    """Read the output of `to_json`.

    Raises:
        pydantic.ValidationError: a field is missing, unknown or of another type.
    """
    return _ADAPTER.validate_json(text)


def measure_point(
    series: str, name: str, file_bytes: int, outputs: Outputs, reference: Outputs, seconds: PointSeconds
) -> RateAccuracyPoint:
    """Return the point of a network with these outputs on labeled photos; `reference` are the float network's."""
    return RateAccuracyPoint(
        series=series,
        name=name,
        file_bytes=file_bytes,
        top1=_accuracy_change(outputs, reference, 1),
        top5=_accuracy_change(outputs, reference, 5),
        agreement=intervals.wilson_interval(outputs.logits.argmax(1) == reference.logits.argmax(1)),
        divergence_nats=intervals.bootstrap_interval(metrics.divergences(outputs, reference), BOOTSTRAP_SEED),
        seconds=seconds,
    )


def sort_points(points: Sequence[RateAccuracyPoint]) -> tuple[RateAccuracyPoint, ...]:
    """Return points by series, then by size, largest first, then by name."""
    return tuple(sorted(points, key=lambda point: (SERIES.index(point.series), -point.file_bytes, point.name)))


def _accuracy_change(outputs: Outputs, reference: Outputs, k: int) -> AccuracyChange:
    accuracy = intervals.wilson_interval(outputs.correct(k))
    paired = intervals.paired_accuracy(reference.correct(k), outputs.correct(k))
    return AccuracyChange(accuracy, paired.difference, paired.correct_only_a, paired.correct_only_b, paired.p_value)
