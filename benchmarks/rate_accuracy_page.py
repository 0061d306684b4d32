"""`rate-accuracy.md`: the results as tables."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.rate_accuracy_record import NNCODEC, AccuracyChange, RateAccuracyPoint, RateAccuracyRecord
from compress.evaluation.results import Interval
from compress.report.formatting import (
    MINUS,
    nats,
    nats_interval,
    percent,
    plural,
    seconds,
    signed_hundred,
    thousands,
    times,
)
from compress.report.markdown import markdown_table

_EN_DASH = "\u2013"

_RATE = ("", "bytes", "times smaller than float32", "top-1", "top-5", "agreement", "KL, nats")
_CHANGE = ("", "points (95%)", "only before / only after", "p")
_TIME = ("", "passes", "encode", "decode")


def to_markdown(record: RateAccuracyRecord) -> str:
    """Return the page: rates, paired statistics, run times, and how they were measured."""
    points = record.points
    paragraphs = [
        "# Bytes against accuracy",
        f"{record.network}, {plural(record.photos.photos, 'photo')}. The float network:"
        f" {thousands(record.float_bytes)} bytes, top-1 {percent(record.top1.value)}, top-5"
        f" {percent(record.top5.value)}. Every point is measured on the weights decoded from its bytes.",
        "![Bytes against divergence, and against top-1](rate-accuracy.svg)",
        "The lines of Deep Compression are the sizes published for SqueezeNet v1.0 (arXiv:1602.07360, table 2).",
        rate_table(record),
        "Agreement is the fraction of photos with the float network's top-1 class. KL is the mean divergence from the"
        " float network with its 95% bootstrap interval. A `.sqz` file holds everything that the network needs, with"
        " class names unless the pipeline omits them. NNCodec's bytes hold the tensors only.",
        "## The same photos, before and after",
        "Change of top-1 from the float network with its 95% bootstrap interval, paired over photos; photos that only"
        " the float network, and that only this point classifies correctly; McNemar's exact p.",
        markdown_table(_CHANGE, (_change_row(point, point.top1) for point in points)),
        "The same for top-5:",
        markdown_table(_CHANGE, (_change_row(point, point.top5) for point in points)),
        "## Time",
        "Passes run once, from the float weights to the weights to encode, without validation; NNCodec has none."
        " Encoding and decoding are medians, each in one process.",
        markdown_table(_TIME, (_time_row(point) for point in points)),
    ]
    if record.omitted:
        paragraphs.append("Omitted: " + "; ".join(f"{point.name} ({point.reason})" for point in record.omitted) + ".")
    return "\n\n".join([*paragraphs, _origin(record)]) + "\n"


def rate_table(record: RateAccuracyRecord) -> str:
    """Return the table of bytes, accuracy and fidelity."""
    return markdown_table(_RATE, (_rate_row(point, record.float_bytes) for point in record.points))


def _rate_row(point: RateAccuracyPoint, float_bytes: int) -> list[str]:
    divergence = point.divergence_nats
    return [
        _name(point),
        thousands(point.file_bytes),
        times(float_bytes / point.file_bytes),
        percent(point.top1.accuracy.value),
        percent(point.top5.accuracy.value),
        percent(point.agreement.value),
        f"{nats(divergence.value)} ({nats_interval(divergence)})",
    ]


def _change_row(point: RateAccuracyPoint, change: AccuracyChange) -> list[str]:
    p = "< 0.0001" if change.p_value < 1e-4 else f"{change.p_value:.2g}"
    return [_name(point), _points(change.difference), f"{change.only_before} / {change.only_after}", p]


def _time_row(point: RateAccuracyPoint) -> list[str]:
    passes = _EN_DASH if point.seconds.passes is None else seconds(point.seconds.passes)
    return [_name(point), passes, seconds(point.seconds.encode), seconds(point.seconds.decode)]


def _name(point: RateAccuracyPoint) -> str:
    return f"NNCodec {point.name.replace('-', MINUS)}" if point.series == NNCODEC else point.name


def _points(difference: Interval) -> str:
    """Return a difference of two fractions in points, with its interval: `-0.5 (-1.9 to +0.8)`."""
    value, low, high = map(signed_hundred, (difference.value, difference.low, difference.high))
    return f"{value} ({low} to {high})"


def _origin(record: RateAccuracyRecord) -> str:
    def listed(versions: Mapping[str, str]) -> str:
        return ", ".join(f"{name} {version}" for name, version in versions.items())

    skipped = f" ({len(record.photos.skipped)} skipped)" if record.photos.skipped else ""
    nncodec = f"; NNCodec with {listed(record.nncodec_versions)}" if record.nncodec_versions else ""
    return (
        f"Made by `{record.command}` on {record.photos.description}{skipped}; bootstrap of"
        f" {thousands(record.bootstrap_samples)} samples, seed {record.bootstrap_seed}; {listed(record.versions)}"
        f"{nncodec}; {record.machine}."
    )
