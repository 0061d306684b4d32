"""Uniform levels for a whole network: one slope between bytes and divergence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass
from torch import nn

from compress.calibration.layer_sensitivity import corrections
from compress.calibration.reconstruction import PairedInputs, layers_by_input
from compress.codecs.primitives.trellis import NO_TRELLIS, TRELLIS_4096, Trellis
from compress.context import Context
from compress.errors import PassError
from compress.model import Model
from compress.networks.channel_graph import links
from compress.networks.modules import set_weights
from compress.passes.interface import Pass
from compress.quantization.channel_balancing import with_channels_moved
from compress.quantization.codebooks import at_precision
from compress.quantization.lambda_search import SlopeSearch, first_slope
from compress.quantization.layer_quantizer import Layer, bias_on_levels, quick
from compress.quantization.step_sizes import noise_to_signal
from compress.runtime.byte_size import Bytes
from compress.tensors.checks import check_finite
from compress.tensors.forms import Dense, FloatName, Pruned, Shared
from compress.tensors.kernel_transform import has_3x3_kernels

_VIEWS_FOR_HALF = 10_000
"""Views from which half of a row's statistics is its own, the rest being its layer's; fewer say less of one row."""

_VIEWS_FOR_HALF_OF_A_CLASS = 2_000
"""The same for the last layer, where nothing of a row's statistics is drawn."""

_BELIEVED = 0.5
"""Share of the correlation between rows that is taken for true, of many views: it is not the same in all columns."""

_VIEWS_FOR_HALF_OF_THAT = 1_000
"""Views from which half of that share is."""

_DAMPING = 0.01
"""Share of a moment's mean diagonal that is added to it, at least; and with which a regression holds a layer to its
float weights."""

_CLASSES_DAMPING = 0.1
"""The same for the last layer, whose rows are classes: of each, photos say little."""

_MOST_DAMPING = 0.5

_FILLED = 0.998
"""Share of the bytes allowed that the file uses at least."""

_NEARLY_FILLED = 0.99
"""The same of the first choice, on which the layers are only measured."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Quantize(Pass):
    """Give every weight one of evenly spaced levels, so that bytes and divergence together are least.

    Rows and columns of a layer have steps of their own, powers of 2 ** (1 / 4), from what an error in them costs. Where
    channels may be scaled, they are, so that all rows of a layer take one step, which costs no bytes then: the network
    is another with the same outputs. What was pruned stays zero. A weight takes the level for which
    `divergence + slope * bits` is least, `bits` being what the level's frequency makes it cost, and its error is fed
    forward to the weights still to come. Exactly one of `slope` and `bytes` is given.

    Attributes:
        slope: what a bit is worth, in nats of divergence: the larger, the smaller the file. One slope for the whole
            network makes the bits go to the layers that need them.
        bytes: of the whole file, at most; the slope that uses them is looked for.
        trellis: levels follow a trellis down each column: a quarter less divergence at 300,000 bytes, where the file is
            coded by `context`, which knows the trellis. If not given, that decides.
        kernels: give levels not to the weights of kernels of 3 by 3 but to coefficients of patterns that they are
            sums of, each with a step of its own: those that tell neighbouring weights apart matter little, and take few
            bits. Of kernels pruned in part the weights have them. If not given, done where the file is coded by
            `context`: readers of other codings may be too small for it.
        sequential: go from layer to layer, each first regressed on the float network's activations from those of the
            layers already done, its bias corrected; else every layer by itself. It takes a slope.
        iterations: how often the levels are chosen, with frequencies counted anew.
        biases: precision of the biases in the file; `levels` gives them steps from what an error in them costs.
        statistics_photos: how many calibration photos the statistics take; all if not given.
        views: how often the statistics see each photo: as it is, and then stretches of it at random.
        measured_photos: how many calibration photos measure, after a first choice, what each layer's errors really add
            to the divergence, so that a second choice gives the bits to the layers that need them, and none to channels
            that after the first nothing reads; 0 for one choice alone. Layers in sequence are chosen once.
    Source: Frantar et al. 2022 (GPTQ), arXiv:2210.17323; Sullivan 1996, "Efficient scalar quantization of exponential
    and Laplacian random variables"; Gish & Pierce 1968, "Asymptotically efficient quantizing".
    """

    kind: ClassVar[str] = "quantize"

    slope: Annotated[float, Field(gt=0, le=1)] | None = None
    bytes: Bytes | None = None
    trellis: bool | None = None
    kernels: Literal["weights", "coefficients"] | None = None
    sequential: bool = False
    iterations: Annotated[int, Field(ge=1, le=100)] = 3
    biases: Literal["levels"] | FloatName = "levels"
    statistics_photos: Annotated[int, Field(ge=1)] | None = None
    views: Annotated[int, Field(ge=1, le=100)] = 1
    measured_photos: Annotated[int, Field(ge=0)] = 1000

    @model_validator(mode="after")
    def _one_amount(self) -> Quantize:
        if (self.slope is None) == (self.bytes is None):
            raise ValueError("give either slope or bytes")
        if self.sequential and self.slope is None:
            raise ValueError("sequential takes a slope: the one for a file's bytes is looked for layer by layer apart")
        return self

    def __call__(self, model: Model, context: Context) -> Model:
        """Return the model with levels for weights; where channels were moved, with its origin.

        Raises:
            PassError: a weight is not finite or shares its value already, needs more levels than a file can have, or
                no slope makes the file as small as `bytes`; or layers cannot be taken in sequence.
        """
        for name in model.weight_names():
            if isinstance(model.tensors[name], Shared):
                raise PassError("its weights are shared already; quantize takes plain weights", tensor=name)
        for name, tensor in model.tensors.items():
            check_finite(tensor.to_dense(), name)
        weights = sum(model.tensors[name].to_dense().size for name in model.weight_names())
        slope = self.slope or first_slope(self.bytes or 0, weights)
        layers = self._layers(model, context, slope)
        if self.sequential:
            return self._in_sequence(model, layers, slope, context)
        origin, layers = with_channels_moved(model, layers, links(context.network(model)))
        return replace(self._by_costs(origin, layers, slope, context), reference=origin)

    def _by_costs(self, model: Model, layers: Mapping[str, Layer], slope: float, context: Context) -> Model:
        along = self._trellis(context)
        if self.measured_photos == 0:
            return self._chosen(model, layers, slope, _FILLED, along, context)[0]
        quantized, slope = self._chosen(model, layers, slope, _NEARLY_FILLED, quick(along), context)
        parts = context.parts_of_layers(quantized, model, self.measured_photos)
        predicted = {name: layer.divergence(quantized.tensors[name].to_dense()) for name, layer in layers.items()}
        factors = corrections(parts, predicted)
        gone = context.dead(quantized)
        layers = {name: layer.costing(factors[name]).without(gone[name]) for name, layer in layers.items()}
        return self._chosen(model, layers, slope, _FILLED, along, context)[0]

    def _layers(self, model: Model, context: Context, slope: float) -> dict[str, Layer]:
        statistics = context.row_statistics(self.statistics_photos, self.views)
        views = self.views * min(len(context.calibration), self.statistics_photos or len(context.calibration))
        believed = _BELIEVED * views / (views + _VIEWS_FOR_HALF_OF_THAT)
        last = list(statistics)[-1]
        layers = {}
        for name in model.weight_names():
            tensor, found = model.tensors[name], statistics[name]
            values = tensor.to_dense()
            mask = tensor.mask if isinstance(tensor, Pruned) else np.ones(tensor.shape, dtype=np.bool_)
            share = views / (views + (_VIEWS_FOR_HALF_OF_A_CLASS if name == last else _VIEWS_FOR_HALF))
            damping = (_CLASSES_DAMPING if name == last else _DAMPING) + noise_to_signal(values, found, slope)
            held = np.minimum(damping, _MOST_DAMPING)
            coefficients = self._coefficients(context) and has_3x3_kernels(mask.shape) and _whole_kernels(mask)
            # The factors take the place of what the rows have of their own: both would be too much memory.
            factors = found.row_feedback(share, held, out=found.own, coefficients=coefficients)
            coupling = found.coupling(believed)
            layers[name] = Layer(
                name, values, mask, found.output_cost, factors, coupling, coefficients, found.bias_cost
            )
        return layers

    def _chosen(
        self,
        model: Model,
        layers: Mapping[str, Layer],
        slope: float,
        filled: float,
        along: Trellis,
        context: Context,
    ) -> tuple[Model, float]:
        """Return the model with levels and their slope: that given, or that which fills `bytes`."""
        if self.slope is not None:
            return self._apart(model, layers, self.slope, along), self.slope
        assert self.bytes is not None
        search = SlopeSearch(self.bytes, slope, filled)
        best: tuple[Model, float] | None = None
        with context.progress("looking for the slope", 0) as advance:
            while (tried := search.next_slope()) is not None:
                try:
                    candidate = self._apart(model, layers, tried, along)
                    file_bytes = context.file_bytes(candidate)
                except PassError:  # more levels than a file can have
                    search.tried(tried, None)
                else:
                    search.tried(tried, file_bytes)
                    if file_bytes <= self.bytes:
                        best = candidate, tried
                advance(1)
        if best is None:
            raise PassError(f"no slope brings the file under {self.bytes:,} bytes; allow more, or prune first")
        return best

    def _apart(self, model: Model, layers: Mapping[str, Layer], slope: float, along: Trellis) -> Model:
        def quantized(layer: Layer) -> Shared:
            return layer.on_levels(slope, along, self.iterations)

        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            changed: dict[str, Dense | Shared] = dict(zip(layers, pool.map(quantized, layers.values()), strict=True))
        for name, tensor in model.tensors.items():
            if name not in layers and name not in model.uncompressed:
                changed[name] = self._bias(name, tensor.to_dense(), layers, slope)
        return model.with_tensors(changed)

    def _trellis(self, context: Context) -> Trellis:
        return TRELLIS_4096 if self._by_coding(self.trellis, context) else NO_TRELLIS

    def _coefficients(self, context: Context) -> bool:
        return self._by_coding(None if self.kernels is None else self.kernels == "coefficients", context)

    def _by_coding(self, asked: bool | None, context: Context) -> bool:
        return "context" in context.codecs if asked is None else asked

    def _bias(
        self, name: str, values: NDArray[np.float32], layers: Mapping[str, Layer], slope: float
    ) -> Dense | Shared:
        if self.biases != "levels":
            return at_precision(values, self.biases, name)
        layer = layers.get(name.removesuffix("bias") + "weight")
        if layer is None or layer.bias_cost is None or len(layer.bias_cost) != values.size:
            return at_precision(values, "float16", name)
        return bias_on_levels(values, layer.bias_cost, slope)

    def _in_sequence(self, model: Model, layers: Mapping[str, Layer], slope: float, context: Context) -> Model:
        compressed = context.network(model)
        groups = layers_by_input(compressed, context.inputs(np.zeros(1, np.int64)))
        _check_sequence(groups, compressed, layers)
        with context.progress("quantizing layer after layer", len(groups)) as advance:
            for names in groups:
                pairs = context.pairs(compressed, names, self.statistics_photos)
                changed: dict[str, Dense | Shared] = {}
                for name in names:
                    changed |= self._regressed(name, context, pairs[name], layers, slope)
                model = model.with_tensors(changed)
                set_weights(compressed, changed)
                advance(1)
        return model

    def _regressed(
        self, layer: str, context: Context, pairs: PairedInputs, layers: Mapping[str, Layer], slope: float
    ) -> dict[str, Dense | Shared]:
        """Return a layer's weights and bias, made for the inputs that it has in the compressed network."""
        weight, bias = f"{layer}.weight", f"{layer}.bias"
        reference = context.reference.tensors
        wanted = _as_matrix(reference[weight].to_dense())
        target = pairs.target(wanted, _DAMPING).astype(np.float32).reshape(reference[weight].shape)
        moved = replace(layers[weight], values=target)
        shared = moved.on_levels(slope, self._trellis(context), self.iterations)
        changed: dict[str, Dense | Shared] = {weight: shared}
        if bias in reference:
            wanted_bias = reference[bias].to_dense().astype(np.float64)
            corrected = pairs.bias(wanted, wanted_bias, _as_matrix(shared.to_dense()))
            changed[bias] = self._bias(bias, corrected.astype(np.float32), layers, slope)
        return changed


def _check_sequence(groups: Sequence[Sequence[str]], network: nn.Module, layers: Mapping[str, Layer]) -> None:
    """Check that layers can be regressed one after the other."""
    runs = Counter(f"{name}.weight" for names in groups for name in names)
    for names in groups:
        for name in names:
            module = network.get_submodule(name)
            if runs[f"{name}.weight"] > 1 or getattr(module, "groups", 1) > 1 or f"{name}.weight" not in layers:
                problem = "sequential takes layers that run once, have weights of their own and one group of channels"
                raise PassError(f"{problem}; this one is another, so leave sequential out", tensor=f"{name}.weight")


def _whole_kernels(mask: NDArray[np.bool_]) -> bool:
    """Tell whether no kernel is pruned in part."""
    return bool((mask == mask[:, :, :1, :1]).all())


def _as_matrix(values: NDArray[np.float32]) -> NDArray[np.float64]:
    return values.reshape(len(values), -1).astype(np.float64)
