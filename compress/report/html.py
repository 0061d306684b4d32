"""`report.html`: one self-contained page that shows a run."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from compress.evaluation.results import Fidelity
from compress.evaluation.significance import mcnemar
from compress.report import breakdown, charts, formatting
from compress.report.goal_shortfall import explain_miss
from compress.report.histograms import draw_histogram
from compress.report.record import ALEXNET_BYTES, LayerRecord, RunRecord
from compress.report.svg import chart_style

WIDE, NARROW = 860, 340
"""Widths in pixels of the two versions of a wide chart; CSS shows the one that fits."""


def to_html(record: RunRecord) -> str:
    """Return the page; the same bytes for the same record."""
    weights = breakdown.weight_layers(record)
    after = record.stages[-1]
    return load_template("report.html").render(
        record=record,
        goals=[(goal, explain_miss(record, goal)) for goal in record.goals],
        before=record.stages[0],
        after=after,
        labeled=after.accuracy is not None,
        p_value=_p_value(after.fidelity),
        alexnet_bytes=ALEXNET_BYTES,
        components=breakdown.file_components(record.file),
        weights=weights,
        bias_count=len(record.layers) - len(weights),
        has_codebooks=any(layer.histogram and layer.histogram.codebook_marks for layer in weights),
        coded=[layer for layer in weights if layer.codec_bytes],
        charts=_draw_charts(record, weights),
        wide=WIDE,
        narrow=NARROW,
    )


def load_template(name: str) -> Template:
    """Load a template; its filters are the functions of `formatting` and `breakdown`."""
    environment = Environment(
        loader=PackageLoader("compress.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for module in (formatting, breakdown):
        environment.filters |= dict(inspect.getmembers(module, inspect.isfunction))
    return environment.get_template(name)


def _draw_charts(record: RunRecord, weights: list[LayerRecord]) -> Mapping[str, object]:
    with chart_style():
        return {
            "metrics": [
                (metric, Markup(charts.draw_metric(record, metric)))
                for metric in charts.STAGE_METRICS
                if metric.of(record.stages[-1])
            ],
            "histograms": [
                (layer, Markup(draw_histogram(layer, layer.histogram, f"histogram{number}")))
                for number, layer in enumerate(weights)
                if layer.histogram
            ],
        }


def _p_value(fidelity: Fidelity) -> float | None:
    before, after = fidelity.correct_only_before, fidelity.correct_only_after
    return mcnemar(before, after) if before is not None and after is not None and before + after else None
