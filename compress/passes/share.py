"""The pass `share`: the weights of a layer share few values, stored in a codebook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from compress.calibration.layer_statistics import LayerStatistics
from compress.context import Context
from compress.errors import PassError
from compress.model import Model
from compress.passes.interface import Pass
from compress.passes.layer_patterns import options_by_layer
from compress.quantization.codebook_refinement import refine_codebook
from compress.quantization.codebooks import nearest_entries, round_codebook, round_to_precision
from compress.quantization.kmeans import Init, kmeans_centroids
from compress.quantization.rate_distortion import Lambda
from compress.quantization.step_sizes import equalizing_exponents
from compress.tensors.checks import check_finite
from compress.tensors.forms import Dense, FloatName, Pruned, Shared
from compress.tensors.scales import weight_scales

Bits = Annotated[int, Field(ge=1, le=12)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid", populate_by_name=True))
class Share(Pass):
    """Replace the weights of each layer by the values of a codebook, found by k-means.

    A codebook of b bits has at most 2**b values, including the zero of pruned weights. With `lambda`, the values are
    then assigned again so that `divergence + lambda * bits` is minimal, in the order of the columns, while later
    weights compensate for the errors of earlier ones; and each value moves to the mean of its weights. This
    approximates the float network, not the weights given to the pass.

    Attributes:
        bits: bits of an index into the codebook.
        init: first centroids: evenly spaced between the smallest and the largest weight (`linear`, best in the paper),
            evenly spaced between the sorted weights (`density`), or random weights (`k-means++`).
        importance: weight of a weight's squared error in k-means: 1 (`none`), its `magnitude`, or its Fisher
            information (`fisher`).
        scales: `fisher` divides each row and column by a power of 2 ** (1 / 4) before k-means, so that an error costs
            about the same everywhere; the file stores the scales.
        lambda_: key `lambda`: nats of divergence that one bit is worth. The larger, the smaller the file. None: each
            weight takes the nearest value.
        iterations: how often `lambda` assigns the values again.
        codebook_precision: precision of the codebook in the file.
        bias_precision: precision of the biases in the file.
        kmeans_iterations: maximum iterations of k-means.
        statistics_photos: number of calibration photos for the statistics; None: all.
        layers: other bits by layer pattern.
    Source: Han et al. 2016, arXiv:1510.00149, section 3.
    """

    kind: ClassVar[str] = "share"
    amount: ClassVar[str] = "bits"

    bits: Bits = 5
    init: Init = "linear"
    importance: Literal["none", "magnitude", "fisher"] = "none"
    scales: Literal["none", "fisher"] = "none"
    lambda_: Lambda | None = Field(default=None, validation_alias="lambda", serialization_alias="lambda")
    iterations: Annotated[int, Field(ge=1, le=100)] = 8
    codebook_precision: FloatName = "float16"
    bias_precision: FloatName = "float16"
    kmeans_iterations: Annotated[int, Field(ge=1, le=10_000)] = 100
    statistics_photos: Annotated[int, Field(ge=1)] | None = None
    layers: Mapping[str, Bits] = Field(default_factory=dict)

    def with_amount(self, amount: float) -> Share:
        return replace(self, bits=round(amount), layers={})

    def __call__(self, model: Model, context: Context) -> Model:
        """Return the model with shared weights, and with biases at their precision in the file.

        Raises:
            PassError: a tensor is not finite, is shared already, or is too large for the precision.
            ConfigError: a pattern in `layers` matches no layer.
        """
        bits = options_by_layer(model, self.bits, self.layers)
        for name in bits:
            if isinstance(model.tensors[name], Shared):
                raise PassError("its weights are shared already", tensor=name)
        changed: dict[str, Dense | Shared] = {
            name: round_to_precision(tensor.to_dense(), self.bias_precision, name)
            for name, tensor in model.tensors.items()
            if name not in bits and name not in model.uncompressed
        }
        statistics: Mapping[str, LayerStatistics] = {}
        if self.lambda_ is not None or "fisher" in {self.importance, self.scales}:
            statistics = context.fisher.layer_statistics(self.statistics_photos)
        with context.progress("sharing weights", len(bits)) as advance:
            for name, layer_bits in bits.items():
                shared = self._nearest_values(name, model, layer_bits, statistics, context.stage_seed)
                if self.lambda_ is not None:
                    target = context.reference.tensors[name].to_dense()
                    shared = refine_codebook(name, shared, target, statistics[name], self.lambda_, self.iterations)
                changed[name] = shared
                advance(1)
        return model.with_tensors(changed)

    def _nearest_values(
        self, name: str, model: Model, bits: int, statistics: Mapping[str, LayerStatistics], seed: int
    ) -> Shared:
        """Return a layer in which each weight takes the nearest centroid of k-means."""
        tensor = model.tensors[name]
        values = tensor.to_dense()
        check_finite(values, name)
        mask = tensor.mask if isinstance(tensor, Pruned) else np.ones(values.shape, dtype=np.bool_)
        rows = columns = None
        if self.scales == "fisher":
            rows, columns = equalizing_exponents(values, statistics[name])
        scale = np.broadcast_to(weight_scales(values.ndim, rows, columns), values.shape)
        points = (values / scale)[mask].astype(np.float64)
        importance = self._importance(values, statistics.get(name)) * np.square(scale, dtype=np.float64)
        clusters = 2**bits - 1
        centroids = kmeans_centroids(points, importance[mask], clusters, self.init, self.kmeans_iterations, seed)
        codebook = round_codebook(centroids, self.codebook_precision, name)
        # Entry 0 means pruned. An unpruned weight takes it only if a centroid is zero too.
        has_zero = bool((centroids.astype(self.codebook_precision) == 0).any())
        entries = np.arange(0 if has_zero else 1, len(codebook), dtype=np.uint16)
        entries = entries[np.argsort(codebook[entries])]
        indices = np.zeros(values.shape, np.uint16)
        indices[mask] = entries[nearest_entries(codebook[entries], points)]
        return Shared(codebook, indices, self.codebook_precision, rows, columns)

    def _importance(self, values: NDArray[np.float32], statistics: LayerStatistics | None) -> NDArray[np.float64]:
        if self.importance == "magnitude":
            return np.abs(values).astype(np.float64)
        if self.importance == "fisher" and statistics:
            return statistics.weight_fisher().reshape(values.shape)
        return np.ones(values.shape)
