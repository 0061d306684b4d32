"""A made-up record with realistic numbers."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.rate_accuracy_record import (
    CLASSIC,
    NNCODEC,
    OURS,
    RATE_ACCURACY_VERSION,
    AccuracyChange,
    NetworkCurve,
    OmittedPoint,
    PointSeconds,
    RateAccuracyPoint,
    RateAccuracyRecord,
    sort_points,
)
from compress.evaluation.results import Interval
from compress.report.formatting import MINUS, NARROW
from compress.report.record import DataRecord


def plain(text: str) -> str:
    """Return a text in ASCII."""
    return text.replace(MINUS, "-").replace("\u2013", "-").replace(NARROW, " ")


def about(value: float, half: float) -> Interval:
    return Interval(value, value - half, value + half)


def a_point(
    series: str, name: str, file_bytes: int, nats: float, lost: int, gained: int, p: float = 0.5
) -> RateAccuracyPoint:
    change = (gained - lost) / 1000
    top1 = AccuracyChange(about(0.551 + change, 0.03), about(change, 0.01), lost, gained, p)
    top5 = AccuracyChange(about(0.803, 0.02), about(0.001, 0.008), 7, 8, 1.0)
    passes = None if series == NNCODEC else 312.0
    return RateAccuracyPoint(
        series, name, file_bytes, top1, top5, about(0.9, 0.02), about(nats, nats / 9), PointSeconds(passes, 1.25, 0.07)
    )


POINTS = (
    a_point(NNCODEC, "qp -26", 503_426, 0.2486, 79, 31, 5.1e-6),
    a_point(NNCODEC, "qp -28", 585_052, 0.1057, 40, 25, 0.082),
    a_point(NNCODEC, "qp -30", 645_100, 0.0685, 36, 20, 0.044),
    a_point(NNCODEC, "qp -32", 733_320, 0.0232, 15, 15),
    a_point(CLASSIC, "deep-compression", 478_000, 0.13, 35, 24),
    a_point(OURS, "squeezenet-240k", 239_800, 0.135, 50, 30, 0.033),
    a_point(OURS, "squeezenet-500k", 495_000, 0.011, 11, 10),
    a_point(OURS, "squeezenet-300k", 299_500, 0.06, 30, 22),
)


MCUNET_POINTS = (
    a_point(NNCODEC, "qp -28", 411_000, 0.31, 90, 20, 1e-8),
    a_point(OURS, "mcunet-240k", 239_800, 0.214, 92, 48, 2e-4),
)


def a_curve(points: tuple[RateAccuracyPoint, ...] = POINTS) -> NetworkCurve:
    return NetworkCurve(
        name="squeezenet",
        network="squeezenet1_1",
        weights_source="made up",
        weights_sha256="0" * 64,
        float_bytes=4_941_984,
        photos=DataRecord("validation", "1,000 photos from photos.csv, labeled", 1000, True, (), "f" * 64),
        top1=about(0.551, 0.031),
        top5=about(0.803, 0.025),
        points=sort_points(points),
    )


def an_mcunet_curve() -> NetworkCurve:
    return replace(
        a_curve(MCUNET_POINTS),
        name="mcunet",
        network="compress.networks.inverted_residual:inverted_residual_network {}",
        float_bytes=2_918_880,
        top1=about(0.732, 0.027),
    )


def a_record(*curves: NetworkCurve) -> RateAccuracyRecord:
    return RateAccuracyRecord(
        schema_version=RATE_ACCURACY_VERSION,
        curves=curves or (a_curve(),),
        omitted=(OmittedPoint("squeezenet-400k", "there is no out/squeezenet-400k/model.sqz"),),
        bootstrap_samples=9999,
        bootstrap_seed=0,
        command="python -m benchmarks.rate_accuracy",
        versions={"python": "3.11.7", "torch": "2.13.0"},
        nncodec_versions={"nncodec": "2.1.3"},
        machine="2 cores",
    )
