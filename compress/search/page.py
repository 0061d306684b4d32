"""`search.html` and `sensitivity.html`: pages that load nothing, in the form of the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from compress.report.formatting import NARROW, kilobytes, nats, percent
from compress.report.html import both, template
from compress.report.record import Record
from compress.report.svg import style
from compress.runtime.atomic_files import write_atomically
from compress.search import charts
from compress.search.record import SearchRecord, TrialRecord
from compress.search.sensitivity import Scan

_WORDS: Mapping[str, Callable[[float], str]] = {
    "bytes": kilobytes,
    "max_top1_drop": lambda limit: f"{limit:g} points of top-1",
    "max_top5_drop": lambda limit: f"{limit:g} points of top-5",
    "min_agreement": lambda limit: f"{percent(1 - limit)} other first answers",
    "max_divergence": lambda limit: f"{nats(limit)}{NARROW}nats",
}


def asked(record: SearchRecord) -> str:
    """Return the limits of a search in words."""
    return " and ".join(_WORDS[key](limit) for key, limit in record.goal.items())


def to_html(record: SearchRecord, configuration: str, command: str, run: Record) -> str:
    """Return the page of a search.

    Args:
        record: the search.
        configuration: the winner's pipeline.
        command: that runs it.
        run: what the winner's run recorded.
    """
    with style():
        drawn = [
            (measure, both(charts.trials_over_bytes, (record, measure), measure.key))
            for measure in charts.MEASURES
            if any(measure.of(trial) is not None for trial in record.trials)
        ]
    return template("search.html").render(
        record=record,
        run=run,
        winner=record.trial(record.winner),
        asked=asked(record),
        counts=dict.fromkeys(("measured", "pruned", "failed"), 0) | Counter(t.state for t in record.trials),
        comparison=_comparison(record, run),
        labelled=any(trial.top1_lost is not None for trial in record.trials),
        limits_shown=bool({"bytes", "max_top1_drop"} & set(record.goal)),
        charts=drawn,
        configuration=configuration,
        run_command=command,
        parts=(),
    )


def scan_to_html(scan: Scan) -> str:
    """Return the page of a scan."""
    titles = {"prune": "Pruned", "share": "Shared"}
    with style():
        drawn = [(kind, title, both(charts.layers_of_a_scan, (scan, kind), kind)) for kind, title in titles.items()]
    return template("sensitivity.html").render(scan=scan, charts=drawn, parts=())


def write_scan(scan: Scan, folder: Path) -> Path:
    """Write `sensitivity.json` and `sensitivity.html`; return the path of the page."""
    write_atomically(folder / "sensitivity.json", scan.to_json().encode())
    write_atomically(folder / "sensitivity.html", scan_to_html(scan).encode())
    return folder / "sensitivity.html"


def _comparison(record: SearchRecord, run: Record) -> str:
    """Say in a sentence what the winner is beside the pipeline as it was."""
    own: TrialRecord | None = next((trial for trial in record.trials if trial.origin == "pipeline"), None)
    if own is None or own.state != "measured" or own.file_bytes is None or own.divergence_nats is None:
        return ""
    if own.number == record.winner:
        return "The pipeline as it was is the best that was found."
    file_bytes, divergence = run.file.file_bytes, run.stages[-1].fidelity.divergence_nats.value
    return (
        f"The pipeline as it was takes {own.file_bytes:,} bytes at {nats(own.divergence_nats)} nats; the winner "
        f"{file_bytes:,} bytes at {nats(divergence)} nats."
    )
