"""The pass `prune`: the least important weights become zero and stay zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from compress.calibration.row_block_memory import ROW_BLOCK_BYTES
from compress.errors import PassError
from compress.model import Model
from compress.passes.interface import Pass
from compress.passes.layer_patterns import options_by_layer
from compress.runtime.option_types import OPTIONS, Bytes
from compress.tensors.forms import Pruned, Tensor

if TYPE_CHECKING:
    from compress.calibration.layer_statistics import LayerStatistics
    from compress.context import Context

Mask = NDArray[np.bool_]
Sparsity = Annotated[float, Field(ge=0, le=1)]
Sensitivity = Annotated[float, Field(ge=0, le=100)]


@dataclass(frozen=True, config=OPTIONS)
class LayerPruning:
    """How much of one layer becomes zero: a fraction, or all weights below a multiple of the standard deviation."""

    sparsity: Sparsity | None = None
    sensitivity: Sensitivity | None = None

    @model_validator(mode="after")
    def _check_one_amount(self) -> LayerPruning:
        if (self.sparsity is None) == (self.sensitivity is None):
            raise ValueError("give either sparsity or sensitivity")
        return self

    def mask(self, importance: NDArray[np.float32], fraction: float = 1) -> Mask:
        """Return the mask of the weights that stay, in the same shape.

        Args:
            importance: of each weight; -1 if it is pruned already. Of equally important weights the first are pruned.
            fraction: of the sparsity, 0 to 1.
        """
        if self.sensitivity is not None:
            unpruned = importance[importance >= 0].astype(np.float64)
            # The root mean square is the standard deviation of weights that are symmetric about zero.
            threshold = self.sensitivity * np.sqrt(np.mean(unpruned**2)) if unpruned.size else 0.0
            return (importance >= 0) & (importance >= threshold)
        assert self.sparsity is not None
        pruned = np.argsort(importance, axis=None, kind="stable")[: round(self.sparsity * fraction * importance.size)]
        mask = importance >= 0
        mask.ravel()[pruned] = False
        return mask


@dataclass(frozen=True, config=OPTIONS)
class Prune(Pass):
    """Set the least important weights to zero. Biases are never pruned, and pruned weights stay pruned.

    Give exactly one of `sparsity`, `sensitivity` and `nonzero_weights`. Layers in `layers` are not ranked with the
    others; their remaining weights count towards `nonzero_weights`.

    Attributes:
        sparsity: fraction of zero weights, 0 to 1.
        sensitivity: prunes the weights of each layer below this multiple of the layer's standard deviation.
        nonzero_weights: number of weights of the network that stay, up to rounding if `scope` is `layer`.
        scope: `layer` applies the amount to each layer; `global` ranks the weights of all layers together.
        criterion: `magnitude` ranks by absolute value; `fisher` by the divergence that the weight's removal causes.
        statistics_photos: number of calibration photos for the statistics; None: all.
        obs_update: change the remaining weights of each row to compensate for the pruned ones (optimal brain surgeon).
            It gathers statistics of rows, which `share` and `quantize` use too if their options are the same.
        iterations: reach the amount in this number of equal steps. `obs_update` follows each of them, and the next step
            ranks the changed weights: a weight that stands in for pruned ones has become important.
        row_block_memory: bytes for the statistics of single rows. With less, adjacent rows share statistics.
        half_precision: gather the statistics of rows in bfloat16 if the processor computes in it.
        layers: other amounts by layer pattern.
    Source: Han et al. 2015, arXiv:1506.02626; LeCun et al. 1990, "Optimal brain damage"; Hassibi & Stork 1992, "Second
    order derivatives for network pruning: optimal brain surgeon", here for all weights of a row together.
    """

    kind: ClassVar[str] = "prune"
    amount: ClassVar[str] = "sparsity"

    sparsity: Sparsity | None = None
    sensitivity: Sensitivity | None = None
    nonzero_weights: Annotated[int, Field(ge=0)] | None = None
    scope: Literal["layer", "global"] = "layer"
    criterion: Literal["magnitude", "fisher"] = "magnitude"
    statistics_photos: Annotated[int, Field(ge=1)] | None = None
    obs_update: bool = False
    iterations: Annotated[int, Field(ge=1, le=100)] = 1
    row_block_memory: Bytes = ROW_BLOCK_BYTES
    half_precision: bool = False
    layers: Mapping[str, LayerPruning] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_one_amount(self) -> Prune:
        if sum(amount is not None for amount in (self.sparsity, self.sensitivity, self.nonzero_weights)) != 1:
            raise ValueError("give exactly one of sparsity, sensitivity and nonzero_weights")
        if self.sensitivity is not None and self.scope == "global":
            raise ValueError("sensitivity is relative to the standard deviation of a layer; set scope to layer")
        if self.iterations > 1 and not self.obs_update:
            raise ValueError("iterations change nothing if no weight changes; set obs_update to true")
        if not self.obs_update and (self.half_precision or self.row_block_memory != ROW_BLOCK_BYTES):
            raise ValueError("half_precision and row_block_memory are of the statistics of obs_update; set it to true")
        if self.iterations > 1 and self._has_sensitivity:
            raise ValueError("sensitivity is an amount for one iteration; give sparsity or nonzero_weights")
        return self

    @property
    def _has_sensitivity(self) -> bool:
        return self.sensitivity is not None or any(amount.sensitivity is not None for amount in self.layers.values())

    @property
    def row_block_bytes(self) -> int | None:
        if self.obs_update:
            return self.row_block_memory
        return 0 if self.criterion == "fisher" else None

    def with_amount(self, amount: float) -> Prune:
        return replace(self, sparsity=amount, sensitivity=None, nonzero_weights=None, scope="layer", layers={})

    def __call__(self, model: Model, context: Context) -> Model:
        """Return the model with more zeros.

        Raises:
            PassError: a tensor is not finite or is shared already, or `nonzero_weights` is out of range.
            ConfigError: a pattern in `layers` matches no layer.
        """
        from compress.quantization.brain_surgeon import obs_update  # noqa: PLC0415

        self.check_plain(model)
        names = model.weight_names()
        fisher: Mapping[str, LayerStatistics] = {}
        if self.criterion == "fisher":
            fisher = context.fisher.layer_statistics(self.statistics_photos)
        statistics: Mapping[str, LayerStatistics] = {}
        if self.obs_update:
            statistics = context.fisher.row_statistics(
                self.statistics_photos, 1, self.row_block_memory, half_precision=self.half_precision
            )
        classifier = next(reversed(list(statistics)), None)
        samples = context.fisher.samples(self.statistics_photos)
        pruned = model
        with context.progress("pruning", len(names) * self.iterations) as advance:
            for iteration in range(1, self.iterations + 1):
                importance = {name: self._importance(pruned.tensors[name], fisher.get(name)) for name in names}
                changed: dict[str, Tensor] = {}
                for name, mask in self._masks(pruned, importance, iteration / self.iterations).items():
                    values = model.tensors[name].to_dense()
                    if self.obs_update:
                        is_classifier = name == classifier
                        values = obs_update(values, mask, statistics[name], samples, is_classifier=is_classifier)
                    changed[name] = Pruned(np.where(mask, values, np.float32(0)), np.array(mask))
                    advance(1)
                pruned = model.with_tensors(changed)
        return pruned

    def _importance(self, tensor: Tensor, statistics: LayerStatistics | None) -> NDArray[np.float32]:
        """Return each weight's importance: a magnitude, times the root of the Fisher information; -1 if pruned."""
        importance = np.abs(tensor.to_dense())
        if statistics is not None:
            importance *= np.sqrt(statistics.weight_fisher().reshape(importance.shape)).astype(np.float32)
        if isinstance(tensor, Pruned):
            importance[~tensor.mask] = -1
        return importance

    def _masks(self, model: Model, importance: Mapping[str, NDArray[np.float32]], fraction: float) -> dict[str, Mask]:
        """Return the mask of each layer's weights that stay at a fraction of the amount."""
        amounts = {name: amount for name, amount in options_by_layer(model, None, self.layers).items() if amount}
        masks = {name: amount.mask(importance[name], fraction) for name, amount in amounts.items()}
        elsewhere = 0  # only `nonzero_weights` needs it, and each mask sorts a layer
        if self.nonzero_weights is not None:
            elsewhere = sum(int(amount.mask(importance[name]).sum()) for name, amount in amounts.items())
        ranked = {name: array for name, array in importance.items() if name not in masks}
        amount = LayerPruning(self._sparsity(sum(map(np.size, ranked.values())), elsewhere), self.sensitivity)
        if self.scope == "layer":
            return masks | {name: amount.mask(array, fraction) for name, array in ranked.items()}
        together = np.concatenate([np.zeros(0, np.float32), *(array.ravel() for array in ranked.values())])
        mask = amount.mask(together, fraction)
        for name, array in ranked.items():
            masks[name], mask = mask[: array.size].reshape(array.shape), mask[array.size :]
        return masks

    def _sparsity(self, weights: int, elsewhere: int) -> float | None:
        """Return the sparsity of the layers without an amount of their own; `elsewhere` weights stay in the others."""
        if self.nonzero_weights is None:
            return self.sparsity
        if not elsewhere <= self.nonzero_weights <= elsewhere + weights:
            raise PassError(
                f"nonzero_weights is {self.nonzero_weights:,} (allowed: {elsewhere:,}, which stay in the layers of "
                f"'layers', to {elsewhere + weights:,})"
            )
        return 1 - (self.nonzero_weights - elsewhere) / max(weights, 1)
