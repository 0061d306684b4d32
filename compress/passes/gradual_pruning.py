"""Pruning while a network trains: little by little, so that it can get over what it loses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from compress.context import Context
from compress.errors import PassError
from compress.model import Model
from compress.passes.layer_patterns import options_by_layer
from compress.passes.prune import LayerPruning, Prune, Sparsity
from compress.tensors.forms import Pruned, Shared

Part = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Gradual:
    """How much is pruned in the course of a training, and when. Biases never are; what is pruned stays pruned.

    Attributes:
        sparsity: share of the weights that are zero in the end, 0 to 1.
        scope: `layer` brings every layer there by itself; `global` ranks all weights together.
        criterion: as in `Prune`, of the values that weights have by then; `curvature` counts with the float network's.
        statistics_photos: how many calibration photos the statistics of `curvature` take; all if not given.
        begin: share of the steps before which nothing is pruned.
        end: share of the steps after which nothing more is pruned.
        every: steps after which the least are looked for anew.
        layers: other sparsities for the layers that a pattern names; they are not ranked with the others.
    Source: Zhu & Gupta 2017, arXiv:1710.01878, section 3.
    """

    sparsity: Sparsity
    scope: Literal["layer", "global"] = "layer"
    criterion: Literal["magnitude", "curvature"] = "magnitude"
    statistics_photos: Annotated[int, Field(ge=1)] | None = None
    begin: Part = 0.0
    end: Part = 0.6
    every: Annotated[int, Field(ge=1)] = 100
    layers: Mapping[str, Sparsity] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _begin_before_end(self) -> Gradual:
        if self.begin > self.end:
            raise ValueError(f"begin is {self.begin:g} and end {self.end:g}; it ends before it begins")
        return self


class Pruning:
    """A gradual pruning of one model in a training.

    Attributes:
        last: step before which the masks are drawn for the last time.
    """

    def __init__(self, options: Gradual, model: Model, context: Context, steps: int) -> None:
        """Begin.

        Args:
            options: how much, and when.
            model: with which the training begins.
            context: of the training.
            steps: of the whole training.
        Raises:
            PassError: weights are shared already.
            ConfigError: a pattern in `layers` names no layer.
        """
        for name in model.weight_names():
            if isinstance(model.tensors[name], Shared):
                raise PassError("its weights are shared already; prune first, then share", tensor=name)
        self._options, self._model, self._context = options, model, context
        own = options_by_layer(model, None, options.layers)
        self._own = {name: sparsity for name, sparsity in own.items() if sparsity is not None}
        self._before = _share_of_zeros(model, [name for name in own if name not in self._own])
        self._first, self.last = (min(math.floor(part * steps), steps - 1) for part in (options.begin, options.end))
        if options.criterion == "curvature":
            context.statistics(options.statistics_photos)  # gathered now, with a progress bar of its own

    def due(self, step: int) -> bool:
        """Return whether masks are drawn anew before this step."""
        in_turn = (step - self._first) % self._options.every == 0
        return step == self.last or (self._first <= step < self.last and in_turn)

    def masks(self, step: int, weights: Mapping[str, Pruned]) -> dict[str, NDArray[np.bool_]]:
        """Return which weights stay from this step on; what is gone already never does.

        Args:
            step: of the training, one that is due.
            weights: the values that they have by then.
        """
        part = part_at(step, self._first, self.last)
        prune = Prune(
            sparsity=self._before + (max(self._options.sparsity, self._before) - self._before) * part,
            scope=self._options.scope,
            criterion=self._options.criterion,
            statistics_photos=self._options.statistics_photos,
            layers={name: LayerPruning(sparsity=sparsity * part) for name, sparsity in self._own.items()},
        )
        pruned = prune(self._model.with_tensors(weights), self._context)
        found = {name: pruned.tensors[name] for name in weights}
        return {name: tensor.mask for name, tensor in found.items() if isinstance(tensor, Pruned)}


def part_at(step: int, first: int, last: int) -> float:
    """Return which part of what is to go has gone by a step: much at first, and ever less, as less can be spared.

    Source: Zhu & Gupta 2017, arXiv:1710.01878, equation 1.
    """
    return 1.0 if step >= last else 1 - (1 - (step - first) / (last - first)) ** 3


def _share_of_zeros(model: Model, names: list[str]) -> float:
    kept = [tensor.mask for name in names if isinstance(tensor := model.tensors[name], Pruned)]
    weights = sum(model.tensors[name].to_dense().size for name in names)
    return sum(int((~mask).sum()) for mask in kept) / max(weights, 1)
