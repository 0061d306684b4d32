"""Uniform levels for a whole network: one slope between bytes and divergence, each layer making up for those before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from compress.calibration import LayerStatistics
from compress.errors import PassError
from compress.model import Model
from compress.networks import set_weights
from compress.paired import PairedInputs, layers_by_input
from compress.passes.context import Context, finite
from compress.passes.feedback import choose, prices
from compress.passes.share import Exponents, as_exponents, at_precision, column_exponents
from compress.tensors import (
    MOST_FLOAT16_LEVELS,
    Dense,
    FloatName,
    Pruned,
    Shared,
    Tensor,
    levels_codebook,
    weight_scales,
    zigzag_symbols,
)

Floats = NDArray[np.float64]

_DAMPING = 0.01
"""Share of the mean diagonal with which a regression holds a layer to its float weights."""

_STEP = 12 / np.log(2)
"""An error's cost times the step squared, over the slope.

At high rate the divergence is `cost / 2 * step ** 2 / 12`, and a bit less doubles the step: the divergence falls by
`2 * ln(2)` of itself a bit, which is to be the slope.
"""

_MOST_LEVELS = 2**14
"""On either side of zero."""

_UNSEEN = 0.5
"""Count given to a level that no weight took."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Quantize:
    """Give every weight one of evenly spaced levels, so that bytes and divergence together are least.

    Rows and columns of a layer have steps of their own, powers of 2 ** (1 / 4), from what an error in them costs; what
    was pruned stays zero. A weight takes the level for which `divergence + slope * bits` is least, `bits` being what
    the level's frequency makes it cost, and its error is fed forward to the weights still to come.

    Attributes:
        slope: what a bit is worth, in nats of divergence: the larger, the smaller the file. One slope for the whole
            network makes the bits go to the layers that need them.
        sequential: go from layer to layer, each first regressed on the float network's activations from those of the
            layers already done, its bias corrected; else every layer by itself.
        iterations: how often the levels are chosen, with frequencies counted anew.
        biases: precision of the biases in the file.
        statistics_photos: how many calibration photos the statistics take; all if not given.
    Source: Frantar et al. 2022 (GPTQ), arXiv:2210.17323; Sullivan 1996, "Efficient scalar quantization of exponential
    and Laplacian random variables"; Gish & Pierce 1968, "Asymptotically efficient quantizing".
    """

    kind: ClassVar[str] = "quantize"

    slope: Annotated[float, Field(gt=0, le=1)] = 1e-7
    sequential: bool = True
    iterations: Annotated[int, Field(ge=1, le=100)] = 4
    biases: FloatName = "float16"
    statistics_photos: Annotated[int, Field(ge=1)] | None = None

    def __call__(self, model: Model, context: Context) -> Model:
        """Return the model with levels for weights.

        Raises:
            PassError: a weight is not finite or shares its value already, or needs more levels than a file can have.
        """
        for name in model.weight_names():
            if isinstance(model.tensors[name], Shared):
                raise PassError("its weights are shared already; quantize takes plain weights", tensor=name)
            finite(model.tensors[name].to_dense(), name)
        statistics = context.statistics(self.statistics_photos)
        model = model.with_tensors(
            {
                name: at_precision(tensor.to_dense(), self.biases, name)
                for name, tensor in model.tensors.items()
                if name not in statistics
            }
        )
        return self._in_sequence(model, statistics, context) if self.sequential else self._apart(model, statistics)

    def _apart(self, model: Model, statistics: Mapping[str, LayerStatistics]) -> Model:
        changed = {}
        for name, found in statistics.items():
            target = _as_matrix(model.tensors[name].to_dense())
            changed[name] = self._levels(name, model.tensors[name], target, found)
        return model.with_tensors(changed)

    def _in_sequence(self, model: Model, statistics: Mapping[str, LayerStatistics], context: Context) -> Model:
        compressed = context.network(model)
        groups = layers_by_input(compressed, context.inputs(np.zeros(1, np.int64)))
        with context.progress("quantizing layer after layer", len(groups)) as advance:
            for layers in groups:
                pairs = context.pairs(compressed, layers, self.statistics_photos)
                changed: dict[str, Dense | Shared] = {}
                for layer in layers:
                    found = statistics[f"{layer}.weight"]
                    changed |= self._regressed(layer, model, context.reference, pairs[layer], found)
                model = model.with_tensors(changed)
                set_weights(compressed, changed)
                advance(1)
        return model

    def _regressed(
        self, layer: str, model: Model, reference: Model, pairs: PairedInputs, found: LayerStatistics
    ) -> dict[str, Dense | Shared]:
        """Return a layer's weights and bias, made for the inputs that it has in the compressed network."""
        weight, bias = f"{layer}.weight", f"{layer}.bias"
        wanted = _as_matrix(reference.tensors[weight].to_dense())
        target = pairs.target(wanted, _DAMPING)
        seen = LayerStatistics(pairs.moment, found.output_cost)
        shared = self._levels(weight, model.tensors[weight], target, seen)
        changed: dict[str, Dense | Shared] = {weight: shared}
        if bias in model.tensors:
            wanted_bias = reference.tensors[bias].to_dense().astype(np.float64)
            corrected = pairs.bias(wanted, wanted_bias, _as_matrix(shared.to_dense()))
            changed[bias] = at_precision(corrected.astype(np.float32), self.biases, bias)
        return changed

    def _levels(self, name: str, tensor: Tensor, target: Floats, statistics: LayerStatistics) -> Shared:
        """Return a layer on levels: codebook 0, then the whole numbers in use; the steps are its scales."""
        factor = statistics.feedback()
        rows, columns = step_exponents(statistics.output_cost, factor, tensor.shape, self.slope)
        scale = _as_matrix(np.broadcast_to(weight_scales(len(tensor.shape), rows, columns), tensor.shape))
        cost = statistics.rounding_cost(factor) * scale**2
        kept = tensor.kept if isinstance(tensor, Pruned) else np.ones(tensor.shape, dtype=np.bool_)
        # Feedback moves a weight by a few steps, hardly ever by more.
        most = int(np.abs(target / scale).max(initial=0)) + 16
        if most > _MOST_LEVELS:
            raise PassError(f"it would need {2 * most + 1:,} levels; take a larger slope", tensor=name)
        levels = np.concatenate([[0], np.arange(-most, 0), np.arange(1, most + 1)]).astype(np.float64)
        price = np.zeros(len(levels))  # not known before the first choice: all levels cost the same number of bits
        for _ in range(self.iterations):
            indices, _wanted = choose(target, kept.reshape(target.shape), scale, cost, factor, levels, price)
            price = prices(np.bincount(indices.ravel(), minlength=len(levels)) + _UNSEEN, self.slope)
        return on_levels(levels[indices].astype(np.int32).reshape(tensor.shape), rows, columns)


def step_exponents(output_cost: Floats, factor: Floats, shape: tuple[int, ...], slope: float) -> Exponents:
    """Return the exponents of the rows' and the columns' steps, at which a bit saves what it costs.

    Args:
        output_cost: shape (rows,), as in `LayerStatistics`.
        factor: `LayerStatistics.feedback()`.
        shape: of the tensor.
        slope: nats a bit.
    """
    columns = column_exponents(factor, len(factor) // shape[1])
    rows = as_exponents(np.log2(_STEP * slope / np.maximum(output_cost, np.finfo(np.float64).tiny)) / 2)
    middle = int(np.median(columns))  # either has to fit a byte
    return np.clip(rows + middle, -127, 127).astype(np.int8), np.clip(columns - middle, -127, 127).astype(np.int8)


def on_levels(levels: NDArray[np.int32], rows: NDArray[np.int8], columns: NDArray[np.int8]) -> Shared:
    """Return whole numbers times their steps as a shared tensor, its codebook one of levels, up to the largest used."""
    symbols = zigzag_symbols(levels)
    entries = int(symbols.max(initial=0)) + 1
    stored_as: FloatName = "float16" if entries <= MOST_FLOAT16_LEVELS else "float32"
    return Shared(levels_codebook(entries), symbols, stored_as, rows, columns)


def _as_matrix(values: NDArray[np.float32]) -> Floats:
    return values.reshape(len(values), -1).astype(np.float64)
