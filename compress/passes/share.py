"""The pass `share`: the weights of a layer share few values, stored in a codebook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from compress.model import Model
from compress.passes.layer_patterns import options_by_layer
from compress.passes.rate_distortion_pass import BiasPrecision, RateDistortionPass
from compress.quantization.codebooks import CodebookOptions, round_to_precision, share_nearest
from compress.quantization.kmeans import Init, kmeans_centroids
from compress.quantization.rate_distortion import symbol_bits_of
from compress.runtime.option_types import OPTIONS
from compress.tensors.forms import Dense, FloatName, Shared

if TYPE_CHECKING:
    from compress.context import Context
    from compress.quantization.layer_quantizer import LayerQuantizer

Bits = Annotated[int, Field(ge=1, le=12)]


@dataclass(frozen=True, config=ConfigDict(**OPTIONS, populate_by_name=True))
class Share(RateDistortionPass):
    """Replace the weights of each layer by the values of a codebook.

    A codebook of b bits has at most 2**b values, including the zero of pruned weights. Without `lambda` and `bytes`,
    k-means finds the values, and each weight takes the nearest one, as in Deep Compression. With one of them, values
    are assigned so that `divergence + lambda * bits` is small, at the bits of the codec that the file takes. Later
    weights compensate for the errors of earlier ones, and a search compares several paths through each row. Each value
    then moves to the mean of its weights, and again. Rows and columns have their own scales, from the cost of an error
    in them; the file stores the scales.

    Attributes:
        bits: bits of an index into the codebook, at most.
        init: first centroids: evenly spaced between the smallest and the largest weight (`linear`, best in the paper),
            evenly spaced between the sorted weights (`density`), or random weights (`k-means++`).
        importance: weight of a weight's squared error in k-means: 1 (`none`), or its Fisher information
            (`fisher`, always with `lambda` or `bytes`).
        iterations: how often `lambda` or `bytes` assign the values again.
        codebook_precision: precision of the codebook in the file.
        bias_precision: precision of the biases in the file; `levels` quantizes them with steps from their Fisher
            information. Default: `levels` with `lambda` or `bytes`, else `float16`.
        kmeans_iterations: maximum iterations of k-means.
        layers: other bits by layer pattern.
    Source: Han et al. 2016, arXiv:1510.00149, section 3; Chou, Lookabaugh & Gray 1989, "Entropy-constrained vector
    quantization".
    """

    kind: ClassVar[str] = "share"
    amount: ClassVar[str] = "bits"

    bits: Bits = 5
    init: Init = "linear"
    importance: Literal["none", "fisher"] = "none"
    iterations: Annotated[int, Field(ge=1, le=100)] = 4
    codebook_precision: FloatName = "float16"
    bias_precision: BiasPrecision | None = None
    kmeans_iterations: Annotated[int, Field(ge=1, le=10_000)] = 100
    layers: Mapping[str, Bits] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_target(self) -> Share:
        if self.lambda_ is not None and self.bytes is not None:
            raise ValueError("give lambda or bytes, or neither")
        if self.bias_precision == "levels" and self.lambda_ is None and self.bytes is None:
            raise ValueError(
                "bias_precision levels needs lambda or bytes, which set the steps; take float16 or float32"
            )
        return self

    @property
    def row_block_bytes(self) -> int | None:
        if self.lambda_ is None and self.bytes is None:
            return 0 if self.importance == "fisher" else None
        return self.row_block_memory

    def with_amount(self, amount: float) -> Share:
        return replace(self, bits=round(amount), layers={})

    def __call__(self, model: Model, context: Context) -> Model:
        """Return the model with shared weights, and with biases at their precision in the file.

        Raises:
            PassError: a tensor is not finite, is shared already, or is too large for the precision; or no lambda makes
                the file as small as `bytes`.
            ConfigError: a pattern in `layers` matches no layer.
        """
        from compress.passes.network_compression import minimize_cost  # noqa: PLC0415

        self.check_plain(model)
        bits = options_by_layer(model, self.bits, self.layers)
        if self.lambda_ is None and self.bytes is None:
            return self._share_nearest(model, context, bits)

        symbol_bits = symbol_bits_of(context.codecs)

        def compress_layer(layer: LayerQuantizer, lambda_: float, *, final: bool) -> Shared:
            options = CodebookOptions(
                2 ** bits[layer.name], self.init, self.kmeans_iterations, self.iterations, self.codebook_precision
            )
            return layer.share(lambda_, options, symbol_bits, context.stage_seed)

        return minimize_cost(self, model, context, compress_layer, self.bias_precision or "levels")

    def _share_nearest(self, model: Model, context: Context, bits: Mapping[str, int]) -> Model:
        """Return the model in which each weight takes the nearest centroid of k-means."""
        precision: FloatName = "float32" if self.bias_precision == "float32" else "float16"
        changed: dict[str, Dense | Shared] = {
            name: round_to_precision(tensor.to_dense(), precision, name)
            for name, tensor in model.tensors.items()
            if name not in bits and name not in model.uncompressed
        }
        statistics = context.fisher.layer_statistics(self.statistics_photos) if self.importance == "fisher" else {}
        with context.progress("sharing weights", len(bits)) as advance:
            for name, layer_bits in bits.items():
                values, mask = model.tensors[name].to_dense(), model.tensors[name].mask
                fisher = statistics[name].weight_fisher().reshape(values.shape) if name in statistics else mask
                points, cost = values[mask].astype(np.float64), fisher[mask].astype(np.float64)
                centroids = kmeans_centroids(
                    points, cost, 2**layer_bits - 1, self.init, self.kmeans_iterations, context.stage_seed
                )
                changed[name] = share_nearest(values, mask, centroids, self.codebook_precision, name)
                advance(1)
        return model.with_tensors(changed)
