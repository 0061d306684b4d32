"""Quantization of a whole network to uniform levels, with one lambda for all layers."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from compress.calibration.layer_sensitivity import sensitivity_corrections
from compress.codecs.primitives.trellis import NO_TRELLIS, TRELLIS_4096, Trellis
from compress.context import Context
from compress.errors import PassError
from compress.model import Model
from compress.networks.channel_graph import ChannelLink, channel_links, dead_weights
from compress.passes.interface import Pass
from compress.quantization.channel_balancing import Layers, balance_channels
from compress.quantization.codebooks import round_to_precision
from compress.quantization.lambda_search import LambdaSearch, initial_lambda
from compress.quantization.layer_quantizer import LayerQuantizer, coarse_trellis, quantize_biases
from compress.quantization.regularization import regularized_quantizer
from compress.runtime.byte_size import Bytes
from compress.tensors.checks import check_finite
from compress.tensors.forms import Dense, FloatName, Shared

_MIN_FILL = 0.998
"""Fraction of the byte limit that the file uses at least."""

_MIN_FIRST_FILL = 0.99
"""The same for the first quantization, which only serves to measure the sensitivity of layers."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid", populate_by_name=True))
class Quantize(Pass):
    """Quantize every weight to uniform levels that minimize `divergence + lambda * bits`.

    Rows and columns have their own steps, powers of 2 ** (1 / 4), from the cost of an error in them. Channels are
    balanced, so that all rows of a layer take one step. Error feedback lets later weights compensate for the errors of
    earlier ones. Pruned weights stay zero. Give either `lambda` or `bytes`.

    Attributes:
        lambda_: key `lambda`: nats of divergence that one bit is worth. The larger, the smaller the file. One value for
            the whole network gives the bits to the layers that need them.
        bytes: limit of the file size; the pass searches for the lambda that fills it.
        trellis: use trellis-coded quantization: a quarter less divergence at 300,000 bytes. Only the codec `context`
            codes such levels well. Default: true if the file may use `context`.
        kernel_transform: quantize transform coefficients of 3x3 kernels, each with its own step: coefficients of high
            spatial frequency matter less and take fewer bits. Kernels pruned in part stay as weights. Default: true if
            the file may use `context`; decoders for other codecs may lack the memory.
        iterations: how often levels are assigned; each time their frequencies determine the next rates.
        bias_precision: precision of biases in the file; `levels` quantizes them with steps from their Fisher
            information.
        statistics_photos: number of calibration photos for the statistics. Default: all.
        augmentations: how often the statistics use each photo: unchanged first, then as random crops.
        sensitivity_photos: number of calibration photos that measure how much each layer of a first quantization adds
            to the divergence. The second quantization gives more bits to layers that add more than predicted, and none
            to channels that no layer reads any more. 0: quantize once.
    Source: Frantar et al. 2022 (GPTQ), arXiv:2210.17323; Sullivan 1996, "Efficient scalar quantization of exponential
    and Laplacian random variables"; Gish & Pierce 1968, "Asymptotically efficient quantizing".
    """

    kind: ClassVar[str] = "quantize"

    lambda_: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, validation_alias="lambda", serialization_alias="lambda"
    )
    bytes: Bytes | None = None
    trellis: bool | None = None
    kernel_transform: bool | None = None
    iterations: Annotated[int, Field(ge=1, le=100)] = 3
    bias_precision: Literal["levels"] | FloatName = "levels"
    statistics_photos: Annotated[int, Field(ge=1)] | None = None
    augmentations: Annotated[int, Field(ge=1, le=100)] = 1
    sensitivity_photos: Annotated[int, Field(ge=0)] = 1000

    @model_validator(mode="after")
    def _check_target(self) -> Quantize:
        if (self.lambda_ is None) == (self.bytes is None):
            raise ValueError("give either lambda or bytes")
        return self

    def __call__(self, model: Model, context: Context) -> Model:
        """Return the model with quantized weights, and with the balanced float model as its reference.

        Raises:
            PassError: a weight is not finite or is shared already; a layer needs more levels than a file can have; or
                no lambda makes the file as small as `bytes`.
        """
        _check_plain(model)
        weights = sum(model.tensors[name].to_dense().size for name in model.weight_names())
        lambda_ = self.lambda_ or initial_lambda(self.bytes or 0, weights)
        layers = self._layer_quantizers(model, context, lambda_)
        links = channel_links(context.network(model))
        balanced, layers = balance_channels(model, layers, links)
        trellis = TRELLIS_4096 if self._is_enabled(self.trellis, context) else NO_TRELLIS
        if self.sensitivity_photos > 0:
            first, lambda_ = self._quantize(
                balanced, layers, lambda_, _MIN_FIRST_FILL, coarse_trellis(trellis), context
            )
            layers = self._corrected(layers, first, balanced, links, context)
        quantized, _ = self._quantize(balanced, layers, lambda_, _MIN_FILL, trellis, context)
        return replace(quantized, reference=balanced)

    def _layer_quantizers(self, model: Model, context: Context, lambda_: float) -> Layers:
        statistics = context.fisher.row_statistics(self.statistics_photos, self.augmentations)
        photos = min(len(context.calibration), self.statistics_photos or len(context.calibration))
        samples, last = self.augmentations * photos, list(statistics)[-1]
        kernel_transform = self._is_enabled(self.kernel_transform, context)
        return {
            name: regularized_quantizer(
                name, model.tensors[name], statistics[name], samples, lambda_,
                is_classifier=name == last, kernel_transform=kernel_transform,
            )
            for name in model.weight_names()
        }  # fmt: skip

    def _corrected(
        self, layers: Layers, quantized: Model, balanced: Model, links: Sequence[ChannelLink], context: Context
    ) -> Layers:
        """Return the layers with measured instead of predicted error costs, and with dead weights pruned."""
        contributions = context.fisher.layer_contributions(
            quantized, balanced, self.sensitivity_photos, context.stage_seed
        )
        weights = {name: quantized.tensors[name].to_dense() for name in layers}
        biases = {name: quantized.tensors[bias].to_dense() for name, bias in quantized.bias_names().items()}
        predicted = {name: layer.predicted_divergence(weights[name]) for name, layer in layers.items()}
        corrections = sensitivity_corrections(contributions, predicted)
        dead = dead_weights(weights, biases, links)
        return {
            name: replace(layer, row_fisher=layer.row_fisher * corrections[name], mask=layer.mask & ~dead[name])
            for name, layer in layers.items()
        }

    def _quantize(
        self, model: Model, layers: Layers, lambda_: float, min_fill: float, trellis: Trellis, context: Context
    ) -> tuple[Model, float]:
        """Return the quantized model and its lambda: the given one, or the one that fills `bytes`."""
        if self.bytes is None:
            return self._quantize_at(model, layers, lambda_, trellis), lambda_
        search = LambdaSearch(self.bytes, lambda_, min_fill)
        best: tuple[Model, float] | None = None
        with context.progress("searching for lambda", 0) as advance:
            while (trial := search.next_lambda()) is not None:
                try:
                    candidate = self._quantize_at(model, layers, trial, trellis)
                    file_bytes = context.file_bytes(candidate)
                except PassError:  # more levels than a file can have
                    search.record(trial, None)
                else:
                    search.record(trial, file_bytes)
                    if file_bytes <= self.bytes:
                        best = candidate, trial
                advance(1)
        if best is None:
            raise PassError(f"no lambda makes the file as small as {self.bytes:,} bytes; allow more, or prune first")
        return best

    def _quantize_at(self, model: Model, layers: Layers, lambda_: float, trellis: Trellis) -> Model:
        def quantize(layer: LayerQuantizer) -> Shared:
            return layer.quantize(lambda_, trellis, self.iterations)

        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            changed: dict[str, Dense | Shared] = dict(zip(layers, pool.map(quantize, layers.values()), strict=True))
        for name, tensor in model.tensors.items():
            if name not in layers and name not in model.uncompressed:
                layer = layers.get(name.removesuffix("bias") + "weight")
                changed[name] = self._compressed_bias(name, tensor.to_dense(), layer, lambda_)
        return model.with_tensors(changed)

    def _compressed_bias(
        self, name: str, values: NDArray[np.float32], layer: LayerQuantizer | None, lambda_: float
    ) -> Dense | Shared:
        if self.bias_precision != "levels":
            return round_to_precision(values, self.bias_precision, name)
        if layer is None or layer.bias_fisher is None or len(layer.bias_fisher) != values.size:
            return round_to_precision(values, "float16", name)
        return quantize_biases(values, layer.bias_fisher, lambda_)

    def _is_enabled(self, option: bool | None, context: Context) -> bool:
        return "context" in context.codecs if option is None else option


def _check_plain(model: Model) -> None:
    for name in model.weight_names():
        if isinstance(model.tensors[name], Shared):
            raise PassError("its weights are shared already; quantize takes plain weights", tensor=name)
    for name, tensor in model.tensors.items():
        check_finite(tensor.to_dense(), name)
