"""Runs as Markdown, for a pull request or the summary of a CI job."""

from __future__ import annotations

from collections.abc import Iterable

from compress.evaluation.results import Interval
from compress.report.comparison.run_comparison import RunComparison
from compress.report.comparison.run_figures import RunFigures
from compress.report.comparison.verdict import verdict
from compress.report.formatting import excess, goal_margin, measured_nats, percent, points, thousands
from compress.report.markdown import escape_markdown, markdown_table

_NONE = ""


def to_markdown(comparison: RunComparison) -> str:
    """Return a table of the runs, warnings, what the same photos show, goals, and folded the settings and layers."""
    a, *others = comparison.runs
    paragraphs = [
        "### squeeze-compress",
        *(f"> [!WARNING]\n> {escape_markdown(warning)}" for warning in comparison.warnings),
        _runs_table(comparison),
        "\n".join(f"- {escape_markdown(verdict(a, run, comparison.paired))}" for run in others),
        "\n".join(_goal_lines(comparison.runs)),
    ]
    if others:
        paragraphs += [_settings(comparison), _layers(comparison)]
    return "\n\n".join(filter(None, paragraphs)) + "\n"


def _runs_table(comparison: RunComparison) -> str:
    a = comparison.runs[0]
    labeled = any(run.top1 for run in comparison.runs)
    by_name = {
        "agreement": [run.agreement and percent(run.agreement.value) for run in comparison.runs],
        "KL, nats": [run.divergence_nats and measured_nats(run.divergence_nats.value) for run in comparison.runs],
        "relative MSE": [run.relative_mse and measured_nats(run.relative_mse.value) for run in comparison.runs],
    }
    fidelity = {name: column for name, column in by_name.items() if any(column)}
    head = ["run", "bytes", "change", *(["top-1", "from float", "top-5"] if labeled else []), *fidelity]
    rows = []
    for index, run in enumerate(comparison.runs):
        change = _NONE if run is a else excess(run.file_bytes / a.file_bytes - 1)
        cells = [escape_markdown(run.name), thousands(run.file_bytes), change]
        if labeled:
            from_float = points(run.top1_change.value) if run.top1_change else _NONE
            cells += [_percent(run.top1), from_float, _percent(run.top5)]
        rows.append([*cells, *(column[index] or _NONE for column in fidelity.values())])
    return markdown_table(head, rows)


def _percent(interval: Interval | None) -> str:
    return percent(interval.value) if interval else _NONE


def _goal_lines(runs: Iterable[RunFigures]) -> list[str]:
    return [
        f"- {'✅' if goal.met else '❌'} {escape_markdown(f'{run.name}: {goal.quantity}, {goal_margin(goal)}')}"
        for run in runs
        for goal in run.goals
    ]


def _settings(comparison: RunComparison) -> str:
    if not comparison.settings:
        return "No setting differs."
    rows = (
        [escape_markdown(row.key), *("not set" if value is None else escape_markdown(value) for value in row.values)]
        for row in comparison.settings
    )
    return _folded("Settings that differ", _columns("setting", comparison), rows)


def _layers(comparison: RunComparison) -> str:
    rows = (
        [escape_markdown(layer.name), *(_NONE if count is None else thousands(count) for count in layer.byte_counts)]
        for layer in comparison.layers
    )
    return _folded("Bytes by layer", _columns("layer", comparison), rows)


def _columns(first: str, comparison: RunComparison) -> list[str]:
    return [first, *(escape_markdown(run.name) for run in comparison.runs)]


def _folded(title: str, head: list[str], rows: Iterable[list[str]]) -> str:
    return f"<details><summary>{title}</summary>\n\n{markdown_table(head, rows)}\n\n</details>"
