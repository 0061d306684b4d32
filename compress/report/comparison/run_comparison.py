"""The comparison of runs, the content of `report --format json`.

Fractions run from 0 to 1. Raise `RUN_COMPARISON_VERSION` when a field is added, is removed or changes its meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter

from compress.report.breakdown import layer_bytes, layer_name, weight_layers
from compress.report.comparison.paired_runs import PairedRun, pair, same_photos
from compress.report.comparison.run_figures import RunFigures, figures_of
from compress.report.comparison.run_files import NamedRun
from compress.report.comparison.setting_differences import SettingDifference, setting_differences
from compress.report.record import RunRecord

RUN_COMPARISON_VERSION = 1


@dataclass(frozen=True)
class LayerDifference:
    """A layer with values for each run, in their order; None: the run has no such layer.

    Attributes:
        byte_counts: payload bytes of its weights.
        nonzero: fraction of the weights that are not pruned.
        distinct_values: distinct values in use, zero included.
    """

    name: str
    byte_counts: tuple[int | None, ...]
    nonzero: tuple[float | None, ...]
    distinct_values: tuple[int | None, ...]


@dataclass(frozen=True)
class RunComparison:
    """Runs beside the first one, the reference.

    Attributes:
        runs: in the order given.
        warnings: why figures are not comparable; empty if they are.
        paired: each other run with the same validation photos as the reference.
        settings: in which the runs differ.
        layers: all layers with weights.
    """

    schema_version: int
    runs: tuple[RunFigures, ...]
    warnings: tuple[str, ...]
    paired: tuple[PairedRun, ...]
    settings: tuple[SettingDifference, ...]
    layers: tuple[LayerDifference, ...]

    def to_json(self) -> str:
        """Return the text of `report --format json`."""
        return TypeAdapter(RunComparison).dump_json(self, indent=2).decode() + "\n"


def compare_runs(runs: Sequence[NamedRun]) -> RunComparison:
    """Compare runs with the first one; one run alone has no differences."""
    reference, *others = runs
    pairs = (pair(reference, run) for run in others)
    records = [run.record for run in runs]
    return RunComparison(
        schema_version=RUN_COMPARISON_VERSION,
        runs=tuple(figures_of(run) for run in runs),
        warnings=comparability_warnings(runs),
        paired=tuple(each for each in pairs if each),
        settings=setting_differences(records),
        layers=_layer_differences(records),
    )


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


def _layer_differences(records: Sequence[RunRecord]) -> tuple[LayerDifference, ...]:
    """Return every layer with weights, in the order of the first run that has it."""
    layers = [{layer_name(layer): layer for layer in weight_layers(record)} for record in records]
    return tuple(
        LayerDifference(
            name=name,
            byte_counts=tuple(layer_bytes(each[name]) if name in each else None for each in layers),
            nonzero=tuple(
                each[name].nonzero_weights / max(each[name].weights, 1) if name in each else None for each in layers
            ),
            distinct_values=tuple(each[name].distinct_values if name in each else None for each in layers),
        )
        for name in dict.fromkeys(name for each in layers for name in each)
    )
