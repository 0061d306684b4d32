"""`report.html`: one self-contained page that shows a run."""

from __future__ import annotations

import base64
import hashlib
import inspect
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from compress.report import breakdown, charts, formatting
from compress.report.chart_axes import Scale, padded_range
from compress.report.goal_shortfall import explain_miss
from compress.report.histograms import histogram_shapes
from compress.report.record import RunRecord
from compress.report.run_verdict import accuracy_verdict, goals_verdict
from compress.report.treemap import treemap

WIDE, NARROW = 940, 340
"""Widths in pixels of the two versions of a wide chart; CSS shows the one that fits."""


def to_html(record: RunRecord) -> str:
    """Return the page; the same bytes for the same record."""
    weights = breakdown.weight_layers(record)
    return load_template("report.html").render(
        record=record,
        goals=[(goal, explain_miss(record, goal)) for goal in record.goals],
        verdict=goals_verdict(record),
        accuracy_verdict=accuracy_verdict(record),
        before=record.stages[0],
        after=record.stages[-1],
        labeled=record.stages[-1].accuracy is not None,
        familiar_sizes=charts.familiar_sizes(record),
        components=breakdown.file_components(record.file),
        weights=weights,
        bias_count=len(record.layers) - len(weights),
        coded=[layer for layer in weights if layer.codec_bytes],
        codec_totals=charts.codec_totals(weights),
        layer_costs=charts.layer_costs(record),
        histograms=histogram_shapes(weights),
        metrics=[metric for metric in charts.STAGE_METRICS if metric.of(record.stages[-1])],
        wide=WIDE,
        narrow=NARROW,
    )


def load_template(name: str) -> Template:
    """Load a template, compiled once in a process."""
    return _environment().get_template(name)


@cache
def _environment() -> Environment:
    """Return the environment of the templates; its filters are the functions of `formatting` and `breakdown`."""
    environment = Environment(
        loader=PackageLoader("compress.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for module in (formatting, breakdown):
        environment.filters |= dict(inspect.getmembers(module, inspect.isfunction))
    script = (files("compress.report") / "templates" / "report.js").read_text("utf-8")
    environment.globals |= {
        "Scale": Scale,
        "padded_range": padded_range,
        "intervals_scale": charts.intervals_scale,
        "cost_dots": charts.cost_dots,
        "even_bits": charts.even_bits,
        "treemap": treemap,
        "script": Markup(script),
        "script_sha256": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }
    return environment
