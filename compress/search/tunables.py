"""Searched values that set how much a pass compresses: the sparsity of `prune`, the bits of `share`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from compress.configuration.config import Pipeline
from compress.configuration.search_space import SearchParameter
from compress.model import Model
from compress.passes import Pass
from compress.passes.layer_patterns import options_by_layer


@dataclass(frozen=True)
class Tunable:
    """A searched value that the sensitivity scan covers.

    Attributes:
        parameter: the searched value.
        pass_: the pass that has it, as its option `amount` or in `layers`.
        pattern: the layers it applies to; empty: all layers that no pattern matches.
    """

    parameter: SearchParameter
    pass_: Pass
    pattern: str

    def layers(self, model: Model) -> list[str]:
        """Return the names of the weight tensors that the value applies to."""
        patterns = {pattern: pattern for pattern in self.pass_.layer_options().get((), ())}
        by_layer = options_by_layer(model, "", patterns)
        return [name for name, pattern in by_layer.items() if pattern == self.pattern]

    def spread(self, count: int) -> list[float]:
        """Return all choices, or at most `count` evenly spaced values of the range, ascending."""
        limits = self.parameter.range
        if limits is None:
            return sorted(float(choice) for choice in self.parameter.choices)
        return sorted({self.nearest(float(value)) for value in np.linspace(limits.min, limits.max, count)})

    def nearest(self, value: float) -> float:
        """Return the allowed value nearest to `value`."""
        limits = self.parameter.range
        if limits is None:
            return min((float(choice) for choice in self.parameter.choices), key=lambda choice: abs(choice - value))
        value = min(max(value, limits.min), limits.max)
        return float(round(value) if self.parameter.is_whole else self.parameter.rounded(value))


def tunables_of(pipeline: Pipeline) -> list[Tunable]:
    """Return the searched values of a pipeline that set how much a pass compresses."""
    tunables = (_tunable(pipeline, parameter) for parameter in pipeline.search)
    return [tunable for tunable in tunables if tunable is not None]


def evenly_spaced(count: int, limit: int) -> list[int]:
    """Return at most `limit` different indices below `count`, evenly spread."""
    indices: list[int] = np.linspace(0, count - 1, min(count, limit)).round().astype(int).tolist()
    return indices


def _tunable(pipeline: Pipeline, parameter: SearchParameter) -> Tunable | None:
    _, index, *option = pipeline.document.path_of(parameter.key)
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in parameter.extremes)
    if not numeric or not isinstance(index, int):
        return None
    pass_ = pipeline.stages[index].pass_
    # `layers` has the amount itself (`share`), or a mapping with it (`prune`).
    in_layers = option[:1] == ["layers"] and (len(option) == 2 or option[2:] == [pass_.amount])
    if pass_.amount is None or not (in_layers or option == [pass_.amount]):
        return None
    return Tunable(parameter, pass_, str(option[1]) if in_layers else "")
