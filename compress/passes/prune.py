"""Pruning: the weights that matter least become zero and stay so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from compress.context import Context
from compress.errors import PassError
from compress.model import Model
from compress.passes.interface import Pass
from compress.passes.layer_patterns import options_by_layer
from compress.tensors.checks import check_finite
from compress.tensors.forms import Pruned, Shared, Tensor

_STRICT = ConfigDict(extra="forbid")

_DAMPING = 0.01
"""Share of the mean diagonal of a moment that is added to it: it holds weights of which the photos say nothing."""

_ROWS_AT_ONCE = 32

Sparsity = Annotated[float, Field(ge=0, le=1)]
Sensitivity = Annotated[float, Field(ge=0, le=100)]


@dataclass(frozen=True, config=_STRICT)
class LayerPruning:
    """How much of one layer goes: a share of its weights, or all below a multiple of their standard deviation."""

    sparsity: Sparsity | None = None
    sensitivity: Sensitivity | None = None

    @model_validator(mode="after")
    def _one_amount(self) -> LayerPruning:
        if (self.sparsity is None) == (self.sensitivity is None):
            raise ValueError("give either sparsity or sensitivity")
        return self

    def mask(self, importance: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return which weights stay, bool of the same shape; -1 in `importance` marks those that are gone already.

        Exactly the share that `sparsity` says goes; of equally important weights the first.
        """
        if self.sensitivity is not None:
            left = importance[importance >= 0].astype(np.float64)
            # The root mean square is the standard deviation of weights that are symmetric about zero.
            threshold = self.sensitivity * np.sqrt(np.mean(left**2)) if left.size else 0.0
            return (importance >= 0) & (importance >= threshold)
        assert self.sparsity is not None
        gone = np.argsort(importance, axis=None, kind="stable")[: round(self.sparsity * importance.size)]
        kept = importance >= 0
        kept.ravel()[gone] = False
        return kept


@dataclass(frozen=True, config=_STRICT)
class Prune(Pass):
    """Set the weights of least importance to zero. Biases are never pruned; what was pruned before stays pruned.

    Exactly one of `sparsity`, `sensitivity` and `kept_weights` says how much goes. What `layers` names goes its own
    way: it is not ranked with the others, but what it keeps counts towards `kept_weights`.

    Attributes:
        sparsity: share of the weights that become zero, 0 to 1.
        sensitivity: in each layer the weights below this multiple of its standard deviation become zero.
        kept_weights: how many weights of the whole network stay; where each layer is pruned by itself, give or take
            its rounding.
        scope: `layer` applies the amount to every layer by itself; `global` ranks all weights together.
        criterion: `magnitude` ranks by absolute value; `curvature` by the divergence that a weight's removal costs,
            from the statistics of the calibration photos.
        statistics_photos: how many calibration photos the statistics take; all if not given.
        compensation: let the weights that stay in a row make up for those that go, as far as they can by the statistics
            of the calibration photos; else they keep their bits.
        layers: other amounts for the layers that a pattern names.
    Source: Han et al. 2015, arXiv:1506.02626; LeCun et al. 1990, "Optimal brain damage"; Hassibi & Stork 1992, "Second
    order derivatives for network pruning: optimal brain surgeon", for all weights of a row at once.
    """

    kind: ClassVar[str] = "prune"
    amount: ClassVar[str] = "sparsity"

    sparsity: Sparsity | None = None
    sensitivity: Sensitivity | None = None
    kept_weights: Annotated[int, Field(ge=0)] | None = None
    scope: Literal["layer", "global"] = "layer"
    criterion: Literal["magnitude", "curvature"] = "magnitude"
    statistics_photos: Annotated[int, Field(ge=1)] | None = None
    compensation: bool = False
    layers: Mapping[str, LayerPruning] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_amount(self) -> Prune:
        given = [amount for amount in (self.sparsity, self.sensitivity, self.kept_weights) if amount is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of sparsity, sensitivity and kept_weights")
        if self.sensitivity is not None and self.scope == "global":
            raise ValueError("sensitivity is measured in each layer's own deviation; it has no global scope")
        return self

    def __call__(self, model: Model, context: Context) -> Model:
        """Return the model with more zeros.

        Raises:
            PassError: a tensor is not finite or already shares its weights, or `kept_weights` cannot be had.
            ConfigError: a pattern in `layers` names no layer.
        """
        importance = {name: self._importance(name, model.tensors[name], context) for name in model.weight_names()}
        own = options_by_layer(model, None, self.layers)
        kept = {name: amount.mask(importance[name]) for name, amount in own.items() if amount is not None}
        pooled = {name: array for name, array in importance.items() if name not in kept}
        kept |= self._kept(pooled, sum(int(mask.sum()) for mask in kept.values()))
        return model.with_tensors({name: self._pruned(name, model, mask, context) for name, mask in kept.items()})

    def _pruned(self, name: str, model: Model, kept: NDArray[np.bool_], context: Context) -> Pruned:
        values = model.tensors[name].to_dense()
        if self.compensation:
            values = compensated(values, kept, context.statistics(self.statistics_photos)[name].moment)
        return Pruned(np.where(kept, values, np.float32(0)), np.array(kept))

    def _importance(self, name: str, tensor: Tensor, context: Context) -> NDArray[np.float32]:
        """Return each weight's importance, in magnitude's unit; -1 where it is pruned already."""
        if isinstance(tensor, Shared):
            raise PassError("its weights are shared already; prune first, then share", tensor=name)
        values = tensor.to_dense()
        check_finite(values, name)
        importance = np.abs(values)
        if self.criterion == "curvature":
            cost = context.statistics(self.statistics_photos)[name].weight_cost().reshape(values.shape)
            importance *= np.sqrt(cost).astype(np.float32)
        if isinstance(tensor, Pruned):
            importance[~tensor.mask] = -1
        return importance

    def _kept(self, importance: Mapping[str, NDArray[np.float32]], elsewhere: int) -> dict[str, NDArray[np.bool_]]:
        """Return what stays of the layers without an amount of their own; `elsewhere` counts what the others keep."""
        sparsity = self.sparsity
        if self.kept_weights is not None:
            weights = sum(array.size for array in importance.values())
            if not elsewhere <= self.kept_weights <= elsewhere + weights:
                raise PassError(
                    f"kept_weights is {self.kept_weights:,}; possible: {elsewhere:,} (what `layers` keeps)"
                    f" to {elsewhere + weights:,}"
                )
            sparsity = 1 - (self.kept_weights - elsewhere) / max(weights, 1)
        if self.scope == "layer":
            amount = LayerPruning(sparsity, self.sensitivity)
            return {name: amount.mask(array) for name, array in importance.items()}
        ranked = np.concatenate([array.ravel() for array in importance.values()] or [np.zeros(0, np.float32)])
        together = LayerPruning(sparsity).mask(ranked)
        ends = np.cumsum([array.size for array in importance.values()])
        parts = np.split(together, ends[:-1])
        return {name: part.reshape(importance[name].shape) for name, part in zip(importance, parts, strict=False)}


def compensated(
    values: NDArray[np.float32], kept: NDArray[np.bool_], moment: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return weights of which those kept make up, row by row, for those that go.

    Args:
        values: shape (rows, ...).
        kept: the same shape.
        moment: shape (columns, columns), as in `LayerStatistics`.
    Returns:
        the same shape, 0 where not kept: of all such weights those whose errors cost least.
    """
    weights, stays = values.reshape(len(values), -1).astype(np.float64), kept.reshape(len(kept), -1)
    columns = weights.shape[1]
    held = moment + _DAMPING * (np.trace(moment) / columns or 1.0) * np.eye(columns)
    made = np.zeros_like(weights)
    for start in range(0, len(weights), _ROWS_AT_ONCE):
        w, k = weights[start : start + _ROWS_AT_ONCE], stays[start : start + _ROWS_AT_ONCE]
        both = k[:, :, None] & k[:, None, :]
        # What goes has an equation of its own, x = 0, so that all rows' systems are of one size.
        system = np.where(both, held, 0.0) + (~k)[:, :, None] * np.eye(columns)
        wanted = np.where(k, w @ held, 0.0)
        made[start : start + _ROWS_AT_ONCE] = np.linalg.solve(system, wanted[:, :, None])[:, :, 0]
    return np.where(kept, made.reshape(values.shape), 0.0).astype(np.float32)
