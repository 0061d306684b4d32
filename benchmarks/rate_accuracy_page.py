"""`rate-accuracy.md`: the results as tables."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.rate_accuracy_record import NNCODEC, AccuracyChange, NetworkCurve, RateAccuracyPoint, RateAccuracyRecord
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
    """Return the page: how to read it, then rates, paired statistics and run times of each network, and the origin."""
    paragraphs = [
        "# Bytes against accuracy",
        f"{plural(record.curves[0].photos.photos, 'photo')}. Every point is measured on the weights decoded from its"
        " bytes, and compared with its own float network.",
        "![Bytes against divergence, and against top-1](rate-accuracy.svg)",
        "The lines of Deep Compression are the sizes published for SqueezeNet v1.0 (arXiv:1602.07360, table 2).",
        "- Agreement is the fraction of photos with the float network's top-1 class.\n"
        "- KL is the mean divergence from the float network with its 95% bootstrap interval.\n"
        "- A `.sqz` file holds everything that the network needs, with class names unless the pipeline omits them."
        " NNCodec's bytes hold the tensors only.\n"
        "- A change is the difference from the float network with its 95% bootstrap interval, paired over photos."
        " Beside it are the photos that only the float network, and that only this point classifies correctly, and"
        " McNemar's exact p.\n"
        "- Passes run once, from the float weights to the weights to encode, without validation; NNCodec has none."
        " Encoding and decoding are medians, each in one process.",
        *(_section(curve) for curve in record.curves),
    ]
    if record.omitted:
        paragraphs.append("Omitted: " + "; ".join(f"{point.name} ({point.reason})" for point in record.omitted) + ".")
    return "\n\n".join([*paragraphs, _origin(record)]) + "\n"


def _section(curve: NetworkCurve) -> str:
    paragraphs = [
        f"## {curve.name}",
        f"The float network: {curve.weights_source}.",
        rate_table(curve),
        "Change of top-1:",
        markdown_table(_CHANGE, (_change_row(point, point.top1) for point in curve.points)),
        "Change of top-5:",
        markdown_table(_CHANGE, (_change_row(point, point.top5) for point in curve.points)),
        "Time:",
        markdown_table(_TIME, (_time_row(point) for point in curve.points)),
    ]
    return "\n\n".join(paragraphs)


def rate_table(curve: NetworkCurve) -> str:
    """Return the table of bytes, accuracy and fidelity; its first row is the float network."""
    accuracy = (percent(curve.top1.value), percent(curve.top5.value))
    reference = ("float32", thousands(curve.float_bytes), times(1), *accuracy, _EN_DASH, _EN_DASH)
    return markdown_table(_RATE, [reference, *(_rate_row(point, curve.float_bytes) for point in curve.points)])


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

    photos = record.curves[0].photos
    skipped = f" ({len(photos.skipped)} skipped)" if photos.skipped else ""
    nncodec = f"; NNCodec with {listed(record.nncodec_versions)}" if record.nncodec_versions else ""
    return (
        f"Made by `{record.command}` on {photos.description}{skipped}; bootstrap of"
        f" {thousands(record.bootstrap_samples)} samples, seed {record.bootstrap_seed}; {listed(record.versions)}"
        f"{nncodec}; {record.machine}."
    )
