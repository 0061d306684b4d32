"""Two runs in words."""

from __future__ import annotations

from collections.abc import Sequence

from compress.evaluation.results import Interval
from compress.report.comparison.paired_runs import PairedRun
from compress.report.comparison.run_figures import RunFigures
from compress.report.formatting import (
    NARROW,
    excess,
    measured_nats,
    plural,
    points_interval,
    signed_hundred,
    signed_nats_interval,
    thousands,
)


def verdict(a: RunFigures, b: RunFigures, paired: Sequence[PairedRun]) -> str:
    """Return the difference of run B from run A in bytes, accuracy and divergence; `paired` may hold B."""
    pair = next((each for each in paired if each.name == b.name), None)
    return " ".join([_bytes(a, b), *([_photos(pair)] if pair else [])])


def _bytes(a: RunFigures, b: RunFigures) -> str:
    difference = b.file_bytes - a.file_bytes
    if not difference:
        return f"{b.name} has as many bytes as {a.name}."
    word = "less" if difference < 0 else "more"
    share = excess(b.file_bytes / a.file_bytes - 1)
    return f"{b.name} takes {thousands(abs(difference))} bytes {word} than {a.name} ({share})."


def _photos(pair: PairedRun) -> str:
    """Return what the photos show, with intervals; differences that they cannot show are called so."""
    parts = []
    if pair.top1:
        difference = pair.top1.difference
        amount = f"{signed_hundred(abs(difference.value)).lstrip('+')}{NARROW}points"
        ends = f"95% interval {points_interval(difference)}, p = {pair.top1.p_value:.2g}"
        parts.append(f"its top-1 accuracy is {_direction(difference, amount, ends)}")
    if pair.divergence_difference_nats:
        difference = pair.divergence_difference_nats
        amount, ends = f"{measured_nats(abs(difference.value))}{NARROW}nats", f"{signed_nats_interval(difference)}"
        parts.append(f"its divergence from the float network is {_direction(difference, amount, ends)}")
    if not parts:
        return ""
    return f"On the same {plural(pair.photos, 'photo')}, {', and '.join(parts)}."


def _direction(difference: Interval, amount: str, ends: str) -> str:
    if difference.low == difference.high == 0:
        return "the same"
    doubt = "; no difference is shown" if difference.low <= 0 <= difference.high else ""
    return f"{amount} {'lower' if difference.value < 0 else 'higher'} ({ends}{doubt})"
