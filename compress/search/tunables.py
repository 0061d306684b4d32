"""Searched values that say how much a stage prunes, or in how many bits it shares: those that a scan can speak of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from compress.model import Model
from compress.passes import Prune, Share
from compress.passes.layer_patterns import options_by_layer
from compress.pipeline.config import Pipeline
from compress.pipeline.search_space import Searchable
from compress.pipeline.yaml_document import Key, parts_of, resolved

Kind = Literal["prune", "share"]


@dataclass(frozen=True)
class Amount:
    """A searched value of which more makes the file smaller, or less does.

    Attributes:
        searched: the value.
        kind: the pass; of `prune` it is a sparsity, of `share` bits.
        step: the pass with its options.
        pattern: the layers that it is for; empty where it is for all that no pattern names.
    """

    searched: Searchable
    kind: Kind
    step: Prune | Share
    pattern: str

    def layers(self, model: Model) -> list[str]:
        """Return the names of the weight tensors that it is for."""
        deciding = options_by_layer(model, "", {pattern: pattern for pattern in self.step.layers})
        return [name for name, pattern in deciding.items() if pattern == self.pattern]

    def spread(self, count: int) -> list[float]:
        """Return values from its least to its largest, evenly, at most so many."""
        if self.searched.range is None:
            return sorted(float(choice) for choice in self.searched.choices)
        found = np.linspace(self.searched.range.min, self.searched.range.max, count)
        return sorted({self.nearest(float(value)) for value in found})

    def nearest(self, value: float) -> float:
        """Return the value nearest to another that it may have."""
        limits = self.searched.range
        if limits is None:
            return min((float(choice) for choice in self.searched.choices), key=lambda choice: abs(choice - value))
        step = limits.step or (1 if self.searched.whole else 0)
        value = min(max(value, limits.min), limits.max)
        if step:
            whole = min(round((value - limits.min) / step), int((limits.max - limits.min) / step + 1e-9))
            value = limits.min + whole * step
        return float(self.searched.rounded(float(f"{value:.10g}")))


def amounts_of(pipeline: Pipeline) -> list[Amount]:
    """Return the searched values of a pipeline that are amounts of pruning or sharing."""
    found = (_amount(pipeline, each) for each in pipeline.search)
    return [amount for amount in found if amount is not None]


def _amount(pipeline: Pipeline, each: Searchable) -> Amount | None:
    _, place, *inside = resolved(pipeline.document.root, parts_of(each.key))
    step = pipeline.stages[place].step if isinstance(place, int) else None
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in each.ends):
        return None
    pattern = _pattern(inside)
    if isinstance(step, Prune) and inside[-1:] == ["sparsity"]:
        return Amount(each, "prune", step, pattern)
    if isinstance(step, Share) and (inside == ["bits"] or pattern):
        return Amount(each, "share", step, pattern)
    return None


def _pattern(inside: Sequence[Key]) -> str:
    return str(inside[1]) if len(inside) > 1 and inside[0] == "layers" else ""
