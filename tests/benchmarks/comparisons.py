"""A comparison that nobody measured, with figures near those of real ones."""

from __future__ import annotations

from benchmarks.comparison import CLASSIC, NNCODEC, OURS, Comparison, LeftOut, Paired, Point, Seconds, in_order
from compress.evaluation.results import Interval
from compress.report.formatting import EN_DASH, MINUS, NARROW
from compress.report.record import DataRecord


def plain(text: str) -> str:
    """Text with the signs of a keyboard."""
    return text.replace(MINUS, "-").replace(EN_DASH, "-").replace(NARROW, " ")


def about(value: float, half: float) -> Interval:
    return Interval(value, value - half, value + half)


def a_point(series: str, name: str, file_bytes: int, nats: float, lost: int, won: int, p: float = 0.5) -> Point:
    change = (won - lost) / 1000
    top1 = Paired(about(0.551 + change, 0.03), about(change, 0.01), lost, won, p)
    top5 = Paired(about(0.803, 0.02), about(0.001, 0.008), 7, 8, 1.0)
    passes = None if series == NNCODEC else 312.0
    return Point(
        series, name, file_bytes, top1, top5, about(0.9, 0.02), about(nats, nats / 9), Seconds(passes, 1.25, 0.07)
    )


POINTS = (
    a_point(NNCODEC, "qp -26", 503_426, 0.2486, 79, 31, 5.1e-6),
    a_point(NNCODEC, "qp -28", 585_052, 0.1057, 40, 25, 0.082),
    a_point(NNCODEC, "qp -30", 645_100, 0.0685, 36, 20, 0.044),
    a_point(NNCODEC, "qp -32", 733_320, 0.0232, 15, 15),
    a_point(CLASSIC, "squeezenet-deep-compression", 478_000, 0.13, 35, 24),
    a_point(OURS, "squeezenet-240k", 239_800, 0.135, 50, 30, 0.033),
    a_point(OURS, "squeezenet-500k", 495_000, 0.011, 11, 10),
    a_point(OURS, "squeezenet-300k", 299_500, 0.06, 30, 22),
)


def a_comparison(points: tuple[Point, ...] = POINTS) -> Comparison:
    return Comparison(
        schema_version=1,
        network="squeezenet1_1",
        weights_source="made up",
        weights_sha256="0" * 64,
        float_bytes=4_941_984,
        photos=DataRecord("validation", "1,000 photos from photos.csv, labelled", 1000, True, (), "f" * 64),
        top1=about(0.551, 0.031),
        top5=about(0.803, 0.025),
        points=in_order(points),
        left_out=(LeftOut("squeezenet-400k", "there is no out/squeezenet-400k/model.sqz"),),
        bootstrap_resamples=9999,
        bootstrap_seed=0,
        command="python -m benchmarks.rate_accuracy",
        versions={"python": "3.11.7", "torch": "2.13.0"},
        nncodec_versions={"nncodec": "2.1.3"},
        machine="2 cores",
    )
