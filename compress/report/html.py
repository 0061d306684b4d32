"""`report.html`: one file that shows a run to a reader, and loads nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from compress.evaluation.results import Fidelity
from compress.evaluation.significance import mcnemar
from compress.report import breakdown, charts, formatting
from compress.report.goals import owed_to
from compress.report.histograms import histogram
from compress.report.record import ALEXNET_BYTES, LayerRecord, Record
from compress.report.svg import style

Shown = TypeVar("Shown")

_WIDE, _NARROW = 860.0, 340.0
"""Pixels of the two drawings of a chart with much text: the page shows the one that fits."""

_WORDS = (
    formatting.thousands,
    formatting.kilobytes,
    formatting.megabytes,
    formatting.percent,
    formatting.points,
    formatting.nats,
    formatting.times,
    formatting.seconds,
    formatting.span,
    formatting.nats_span,
    formatting.shape,
    formatting.plural,
    formatting.short_name,
    formatting.goal_amount,
    formatting.goal_margin,
    formatting.sentence,
    breakdown.layer_bytes,
    breakdown.layer_name,
    breakdown.entropy_excess,
    formatting.excess,
)


def to_html(record: Record) -> str:
    """Return the page: self-contained, the same bytes for the same record, everything in it escaped."""
    weights, biases = breakdown.weight_layers(record), breakdown.bias_layers(record)
    return template("report.html").render(
        record=record,
        goals=[(goal, owed_to(record, goal)) for goal in record.goals],
        before=record.stages[0],
        after=record.stages[-1],
        labelled=record.stages[-1].accuracy is not None,
        chance=_chance(record.stages[-1].fidelity),
        alexnet_bytes=ALEXNET_BYTES,
        parts=breakdown.parts_of(record.file),
        weights=weights,
        biases=biases,
        totals=_totals(weights),
        coded=[layer for layer in weights if layer.codec_bytes],
        charts=_draw(record, weights),
    )


def template(name: str) -> Template:
    """Return a template of this room by its file's name, with the figures in words that all of them use."""
    environment = Environment(
        loader=PackageLoader("compress.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {word.__name__: word for word in _WORDS}
    return environment.get_template(name)


def _draw(record: Record, weights: list[LayerRecord]) -> Mapping[str, object]:
    with style():
        return {
            "areas": Markup(charts.areas(record)),
            "waterfall": both(charts.waterfall, record, "waterfall"),
            "measures": [
                (measure, Markup(charts.intervals(record, measure)))
                for measure in charts.MEASURES
                if measure.of(record.stages[-1])
            ],
            "parts": Markup(charts.file_parts(record)),
            "layers": both(charts.layer_bars, record, "layers") if weights else (),
            "histograms": [
                (layer, Markup(histogram(layer, f"histogram{number}")))
                for number, layer in enumerate(weights)
                if layer.before and layer.after
            ],
        }


def both(draw: Callable[[Shown, float, str], str], shown: Shown, name: str) -> tuple[Markup, Markup]:
    """Draw a chart for a wide page and for a phone.

    Args:
        draw: draws it so many pixels wide, under a name that is unique on the page.
        shown: what it shows.
        name: begins both names.
    """
    return Markup(draw(shown, _WIDE, f"{name}-wide")), Markup(draw(shown, _NARROW, f"{name}-narrow"))


def _chance(fidelity: Fidelity) -> float | None:
    """Return what McNemar's test says of the photos lost and won; None without labels, or where none changed."""
    lost, won = fidelity.right_only_before, fidelity.right_only_after
    return mcnemar(lost, won) if lost is not None and won is not None and lost + won else None


def _totals(weights: list[LayerRecord]) -> Mapping[str, float]:
    """Return the last row of the table of layers."""
    names = ("weights", "kept", "index_bytes", "position_bytes", "codebook_bytes", "scale_bytes", "entropy_bytes")
    sums = {name: sum(getattr(layer, name) for layer in weights) for name in names}
    return {**sums, "bytes": sum(breakdown.layer_bytes(layer) for layer in weights)}
