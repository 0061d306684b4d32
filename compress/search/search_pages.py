"""`search.html` and `sensitivity.html`: self-contained pages in the style of the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from compress.report.formatting import NARROW, kilobytes, nats, percent
from compress.report.html import load_template, wide_and_narrow
from compress.report.record import RunRecord
from compress.report.svg import chart_style
from compress.runtime.atomic_files import write_atomically
from compress.search.search_record import SearchRecord
from compress.search.sensitivity import Scan
from compress.search.trial_charts import TRIAL_METRICS, draw_scan, draw_trials

_LIMITS: Mapping[str, Callable[[float], str]] = {
    "bytes": kilobytes,
    "max_top1_drop": lambda limit: f"a top-1 drop of {limit:g} points",
    "max_top5_drop": lambda limit: f"a top-5 drop of {limit:g} points",
    "min_agreement": lambda limit: f"{percent(1 - limit)} changed top-1 classes",
    "max_divergence": lambda limit: f"{nats(limit)}{NARROW}nats",
}


def search_to_html(record: SearchRecord, configuration: str, command: str, run: RunRecord) -> str:
    """Return the page of a search.

    Args:
        record: of the search.
        configuration: the winner's pipeline as YAML.
        command: the command line that runs the winner.
        run: record of the winner's run.
    """
    with chart_style():
        charts = [
            (metric, wide_and_narrow(draw_trials, (record, metric), metric.key))
            for metric in TRIAL_METRICS
            if any(metric.of(trial) is not None for trial in record.trials)
        ]
    return load_template("search.html").render(
        record=record,
        run=run,
        winner=record.trial(record.winner),
        limits=" and ".join(_LIMITS[key](limit) for key, limit in record.goal.items()),
        labeled=any(trial.top1_drop is not None for trial in record.trials),
        limits_shown=bool({"bytes", "max_top1_drop"} & set(record.goal)),
        charts=charts,
        configuration=configuration,
        run_command=command,
        components=(),
    )


def scan_to_html(scan: Scan) -> str:
    """Return the page of a sensitivity scan."""
    titles = {"prune": "Pruned", "share": "Shared"}
    with chart_style():
        charts = [(kind, title, wide_and_narrow(draw_scan, (scan, kind), kind)) for kind, title in titles.items()]
    return load_template("sensitivity.html").render(scan=scan, charts=charts, components=())


def write_scan(scan: Scan, folder: Path) -> Path:
    """Write `sensitivity.json` and `sensitivity.html`; return the path of the page."""
    write_atomically(folder / "sensitivity.json", scan.to_json().encode())
    write_atomically(folder / "sensitivity.html", scan_to_html(scan).encode())
    return folder / "sensitivity.html"
