"""The comparison in words: `rate-accuracy.md`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.comparison import NNCODEC, Comparison, Paired, Point
from compress.evaluation.results import Interval
from compress.report.formatting import EN_DASH, MINUS, nats, nats_span, percent, plural, seconds, thousands, times

_RATE = ("", "bytes", "times smaller than float32", "top-1", "top-5", "agreement", "KL, nats")
_CHANGE = ("", "points (95%)", "only before / only after", "p")
_TIME = ("", "passes", "encode", "decode")


def to_markdown(comparison: Comparison) -> str:
    """Return the page: the figures, how sure they are, how long they took, and how they were made."""
    points = comparison.points
    parts = [
        "# Bytes against accuracy",
        f"{comparison.network}, {plural(comparison.photos.photos, 'photo')}. The float network:"
        f" {thousands(comparison.float_bytes)} bytes, top-1 {percent(comparison.top1.value)}, top-5"
        f" {percent(comparison.top5.value)}. Every point is measured on the weights decoded from its bytes.",
        "![Bytes against divergence, and against top-1](rate-accuracy.svg)",
        "The lines of Deep Compression are the sizes published for SqueezeNet v1.0 (arXiv:1602.07360, table 2).",
        rates(comparison),
        "Agreement is how often the first answer is the float network's; KL is the mean divergence from it, with its"
        " 95% bootstrap interval. A `.sqz` file holds all that it takes to run the network, class names too unless its"
        " pipeline leaves them out; NNCodec's bytes hold the tensors alone.",
        "## The same photos, before and after",
        "Change of top-1 from the float network, with its 95% bootstrap interval, paired over photos; photos that only"
        " the float network, and that only this one gets right; McNemar's exact p.",
        markdown_table(_CHANGE, (_change(point, point.top1) for point in points)),
        "The same of top-5:",
        markdown_table(_CHANGE, (_change(point, point.top5) for point in points)),
        "## Time",
        "Passes run once, from the float weights to those that are encoded, validation not counted; NNCodec has none."
        " Encoding and decoding are the median of several, in one process each.",
        markdown_table(_TIME, (_time(point) for point in points)),
    ]
    if comparison.left_out:
        parts.append("Left out: " + "; ".join(f"{gone.name} ({gone.reason})" for gone in comparison.left_out) + ".")
    return "\n\n".join([*parts, _made(comparison)]) + "\n"


def rates(comparison: Comparison) -> str:
    """Return the table of bytes, accuracy and closeness."""
    return markdown_table(_RATE, (_rate(point, comparison.float_bytes) for point in comparison.points))


def name_of(point: Point) -> str:
    """Return what a point is called where its series is not said beside it."""
    return f"NNCodec {point.name.replace('-', MINUS)}" if point.series == NNCODEC else point.name


def change(difference: Interval) -> str:
    """Return a difference of two shares in points, with its interval: `-0.5 (-1.9 to +0.8)`."""
    return f"{_points(difference.value)} ({_points(difference.low)} to {_points(difference.high)})"


def _rate(point: Point, float_bytes: int) -> list[str]:
    divergence = point.divergence_nats
    return [
        name_of(point),
        thousands(point.file_bytes),
        times(float_bytes / point.file_bytes),
        percent(point.top1.share.value),
        percent(point.top5.share.value),
        percent(point.agreement.value),
        f"{nats(divergence.value)} ({nats_span(divergence)})",
    ]


def _change(point: Point, paired: Paired) -> list[str]:
    p = "< 0.0001" if paired.p_value < 1e-4 else f"{paired.p_value:.2g}"
    return [name_of(point), change(paired.difference), f"{paired.only_before} / {paired.only_after}", p]


def _time(point: Point) -> list[str]:
    passes = EN_DASH if point.seconds.passes is None else seconds(point.seconds.passes)
    return [name_of(point), passes, seconds(point.seconds.encode), seconds(point.seconds.decode)]


def _points(difference: float) -> str:
    tenths = round(difference * 100, 1) + 0.0
    return f"{tenths:+.1f}".replace("-", MINUS) if tenths else "0.0"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; its first column is aligned left, the others right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _made(comparison: Comparison) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in comparison.versions.items())
    theirs = ", ".join(f"{name} {version}" for name, version in comparison.nncodec_versions.items())
    skipped = f" ({len(comparison.photos.skipped)} skipped)" if comparison.photos.skipped else ""
    return (
        f"Made by `{comparison.command}` on {comparison.photos.description}{skipped}; bootstrap of"
        f" {thousands(comparison.bootstrap_resamples)} samples, seed {comparison.bootstrap_seed}; {versions}"
        f"{f'; NNCodec in an environment of {theirs}' if theirs else ''}; {comparison.machine}."
    )
