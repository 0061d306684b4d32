"""`search.html` and `sensitivity.html`: self-contained pages in the style of the report."""

from __future__ import annotations

from pathlib import Path

from compress.report.html import load_template
from compress.report.record import RunRecord
from compress.report.svg import chart_style
from compress.runtime.atomic_files import write_files_atomically
from compress.search.search_record import SearchRecord
from compress.search.sensitivity import Scan
from compress.search.trial_charts import draw_scan, draw_trials


def search_to_html(record: SearchRecord, run: RunRecord) -> str:
    """Return the page of a search; `run` is the winner's run."""
    with chart_style():
        chart = draw_trials(record)
    winner = record.trial(record.winner)
    return load_template("search.html").render(record=record, run=run, winner=winner, chart=chart, components=())


def scan_to_html(scan: Scan) -> str:
    """Return the page of a sensitivity scan."""
    with chart_style():
        charts = {kind: draw_scan(scan, kind) for kind in ("prune", "share")}
    return load_template("sensitivity.html").render(scan=scan, charts=charts, components=())


def write_scan(scan: Scan, folder: Path) -> Path:
    """Write `sensitivity.json` and `sensitivity.html`; return the path of the page."""
    files = {"sensitivity.json": scan.to_json().encode(), "sensitivity.html": scan_to_html(scan).encode()}
    write_files_atomically(folder, files)
    return folder / "sensitivity.html"
