"""What makes the figures of runs incomparable."""

from __future__ import annotations

from collections.abc import Sequence

from compress.report.comparison.paired_runs import same_photos
from compress.report.comparison.run_files import NamedRun


def comparability_warnings(runs: Sequence[NamedRun]) -> tuple[str, ...]:
    """Return why the figures of other runs are not comparable with those of the first; empty if they are."""
    first = runs[0]
    a, warnings = first.record, []
    if names := [run.name for run in runs if not same_photos(a, run.record)]:
        warnings.append(
            f"Other validation photos than {first.name}: {', '.join(names)}. A difference in accuracy, agreement or "
            "divergence may come from the photos, and these runs have no paired statistics."
        )
    if names := [run.name for run in runs if run.record.weights_sha256 != a.weights_sha256]:
        warnings.append(
            f"Another float network than {first.name}: {', '.join(names)}. Agreement and divergence compare each "
            "file with its own float network."
        )
    if len(runs) > 1 and (names := [run.name for run in runs if run.record.outcomes is None]):
        warnings.append(f"Without results on single photos, and so without paired statistics: {', '.join(names)}.")
    return tuple(warnings)
