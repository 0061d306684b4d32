"""Gradual pruning during a training, so that the remaining weights adapt."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from compress.model import Model
from compress.passes.layer_patterns import options_by_layer
from compress.passes.prune import LayerPruning, Prune, Sparsity
from compress.runtime.option_types import OPTIONS
from compress.tensors.forms import Pruned

if TYPE_CHECKING:
    from compress.context import Context


@dataclass(frozen=True, config=OPTIONS)
class GradualPruning:
    """Options of gradual pruning. Biases are never pruned, and pruned weights stay pruned.

    Attributes:
        sparsity: final fraction of zero weights, 0 to 1.
        scope: `layer` prunes each layer to this sparsity; `global` ranks the weights of all layers together.
        criterion: as in `Prune`, for the current weights; `fisher` uses the statistics of the float network.
        statistics_photos: calibration photos for these statistics; None: all.
        end: fraction of the steps after which the sparsity is reached.
        interval: steps between two new masks.
        layers: other sparsities by layer pattern; these layers are not ranked with the others.
    Source: Zhu & Gupta 2017, arXiv:1710.01878, section 3.
    """

    sparsity: Sparsity
    scope: Literal["layer", "global"] = "layer"
    criterion: Literal["magnitude", "fisher"] = "magnitude"
    statistics_photos: Annotated[int, Field(ge=1)] | None = None
    end: Annotated[float, Field(ge=0, le=1)] = 0.6
    interval: Annotated[int, Field(ge=1)] = 100
    layers: Mapping[str, Sparsity] = Field(default_factory=dict)


class GradualMaskSchedule:
    """The masks of a gradual pruning in one training.

    Attributes:
        last_step: step that sets the final masks.
    """

    def __init__(self, options: GradualPruning, model: Model, context: Context, steps: int) -> None:
        """Read the initial sparsity of a model.

        Raises:
            ConfigError: a pattern in `layers` matches no layer.
        """
        self._options, self._model, self._context = options, model, context
        by_layer = options_by_layer(model, None, options.layers)
        self._own_sparsity = {name: sparsity for name, sparsity in by_layer.items() if sparsity is not None}
        self._initial_sparsity = _sparsity(model, by_layer.keys() - self._own_sparsity)
        self.last_step = min(math.floor(options.end * steps), steps - 1)
        if options.criterion == "fisher":
            context.fisher.layer_statistics(options.statistics_photos)  # before the progress bar of the training

    def is_due(self, step: int) -> bool:
        """Return whether new masks are set before this step."""
        return step == self.last_step or (step < self.last_step and step % self._options.interval == 0)

    def masks(self, step: int, weights: Mapping[str, Pruned]) -> dict[str, NDArray[np.bool_]]:
        """Return the masks from this step on, by tensor name, given the current weights."""
        fraction = cubic_fraction(step, self.last_step)
        initial = self._initial_sparsity
        prune = Prune(
            sparsity=initial + (max(self._options.sparsity, initial) - initial) * fraction,
            scope=self._options.scope,
            criterion=self._options.criterion,
            statistics_photos=self._options.statistics_photos,
            layers={name: LayerPruning(sparsity=own * fraction) for name, own in self._own_sparsity.items()},
        )
        pruned = prune(self._model.with_tensors(weights), self._context).tensors
        return {name: tensor.mask for name in weights if isinstance(tensor := pruned[name], Pruned)}


def cubic_fraction(step: int, last_step: int) -> float:
    """Return which fraction of the pruning is done at a step: most of it early, while many weights are redundant.

    Source: Zhu & Gupta 2017, arXiv:1710.01878, equation 1.
    """
    return 1.0 if step >= last_step else 1 - (1 - step / last_step) ** 3


def _sparsity(model: Model, names: Iterable[str]) -> float:
    """Return the fraction of pruned weights in some tensors of a model."""
    masks = [model.tensors[name].mask for name in names]
    return sum(int((~mask).sum()) for mask in masks) / max(sum(mask.size for mask in masks), 1)
