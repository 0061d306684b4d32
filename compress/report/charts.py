"""Charts of metrics by stage. The template `bar_charts.html` draws the charts of bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.ticker import FuncFormatter, MaxNLocator

from compress.evaluation.results import Interval
from compress.report.formatting import abbreviate, nats, percent
from compress.report.record import RunRecord, StageRecord
from compress.report.svg import color, new_figure, to_svg


@dataclass(frozen=True)
class StageMetric:
    """A metric of every stage, drawn with its confidence interval.

    Attributes:
        key: name of the chart on the page.
        better: `higher` or `lower`.
        of: the interval of one stage; None: not measured.
        words: formats an estimate.
    """

    key: str
    title: str
    better: str
    of: Callable[[StageRecord], Interval | None]
    words: Callable[[float], str]


STAGE_METRICS = (
    StageMetric("top1", "Top-1 accuracy", "higher", lambda s: s.accuracy.top1 if s.accuracy else None, percent),
    StageMetric("top5", "Top-5 accuracy", "higher", lambda s: s.accuracy.top5 if s.accuracy else None, percent),
    StageMetric("agreement", "Agreement with the float network", "higher", lambda s: s.fidelity.agreement, percent),
    StageMetric("divergence", "KL divergence, nats", "lower", lambda s: s.fidelity.divergence_nats, nats),
)


def draw_metric(record: RunRecord, metric: StageMetric) -> str:
    """Draw a dot on its 95% interval for each stage; a dashed line marks the first stage."""
    rows = [(stage.name, interval) for stage in record.stages if (interval := metric.of(stage))]
    width, row, left, right = 440.0, 27.0, 132.0, 62.0
    plot_width, height = width - left - right, row * len(rows) + 30
    figure = new_figure(width, height)
    axes = figure.add_axes((left / width, 30 / height, plot_width / width, row * len(rows) / height))
    axes.set(ylim=(len(rows) - 0.5, -0.5), yticks=[], xlim=_limits([interval for _, interval in rows]))
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: nats(value) if metric.words is nats else f"{value * 100:.4g}%")
    )
    axes.grid(axis="x", color=color("rule"), linewidth=1)
    axes.axvline(rows[0][1].value, color=color("muted"), linewidth=1, linestyle=(0, (3, 3)))
    horizontal_fraction = axes.get_yaxis_transform()
    for index, (stage, interval) in enumerate(rows):
        tone = color("second" if index == len(rows) - 1 else "accent")
        axes.plot([interval.low, interval.high], [index, index], color=tone, linewidth=2.5, clip_on=False)
        axes.plot([interval.value], [index], "o", color=tone, markersize=8, clip_on=False)
        axes.text(-left / plot_width, index, abbreviate(stage, 18), va="center", transform=horizontal_fraction)
        axes.text(1 + right / plot_width, index, metric.words(interval.value),
                  va="center", ha="right", weight="bold", transform=horizontal_fraction)  # fmt: skip
    return to_svg(figure, metric.key, f"{metric.title} after each stage, with 95% intervals")


def _limits(intervals: list[Interval]) -> tuple[float, float]:
    low, high = min(interval.low for interval in intervals), max(interval.high for interval in intervals)
    padding = (high - low) * 0.06 or max(abs(high) * 0.01, 1e-6)
    return max(low - padding, min(low, 0.0)), high + padding  # neither a fraction nor a divergence is negative
