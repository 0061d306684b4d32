"""Weight sharing: the weights of a layer take few values, kept in a codebook."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from compress.context import Context
from compress.errors import PassError
from compress.model import Model
from compress.passes.interface import Pass
from compress.passes.layer_patterns import options_by_layer
from compress.quantization.codebooks import as_codebook, at_precision, nearest_entry
from compress.quantization.step_sizes import equalising_exponents
from compress.tensors.checks import check_finite
from compress.tensors.forms import Dense, FloatName, Pruned, Shared
from compress.tensors.scales import weight_scales

_STRICT = ConfigDict(extra="forbid")

Bits = Annotated[int, Field(ge=1, le=12)]


@dataclass(frozen=True, config=_STRICT)
class Share(Pass):
    """Replace the kept weights of each layer by shared values, found by k-means.

    A layer of b bits has at most 2**b values, the zero of pruned weights among them.

    Attributes:
        bits: of an index into the codebook, 1 to 12.
        init: where the centroids start: `linear` spaces them evenly between the least and the largest weight (best in
            the paper), `density` evenly over the sorted weights, `k-means++` at random.
        importance: what a weight counts for in the k-means: all the same (`none`), its `magnitude`, or the divergence
            that an error in it costs (`curvature`).
        scales: `curvature` first divides each row and column by a power of 2 ** (1 / 4), so that an error costs about
            the same in all; the scales are stored. `none` shares the weights as they are.
        codebook: precision of the shared values in the file.
        biases: precision of the biases in the file.
        iterations: of the k-means, at most.
        statistics_photos: how many calibration photos the statistics take; all if not given.
        layers: other bits for the layers that a pattern names.
    Source: Han et al. 2016, arXiv:1510.00149, section 3.
    """

    kind: ClassVar[str] = "share"
    amount: ClassVar[str] = "bits"

    bits: Bits = 5
    init: Literal["linear", "density", "k-means++"] = "linear"
    importance: Literal["none", "magnitude", "curvature"] = "none"
    scales: Literal["none", "curvature"] = "none"
    codebook: FloatName = "float16"
    biases: FloatName = "float16"
    iterations: Annotated[int, Field(ge=1, le=10_000)] = 100
    statistics_photos: Annotated[int, Field(ge=1)] | None = None
    layers: Mapping[str, Bits] = Field(default_factory=dict)

    def __call__(self, model: Model, context: Context) -> Model:
        """Return the model with every weight tensor shared and every bias at its precision.

        Raises:
            PassError: a tensor is not finite, is shared already, or does not fit the precision.
            ConfigError: a pattern in `layers` names no layer.
        """
        bits = options_by_layer(model, self.bits, self.layers)
        changed: dict[str, Dense | Shared] = {
            name: at_precision(tensor.to_dense(), self.biases, name)
            for name, tensor in model.tensors.items()
            if name not in bits and name not in model.uncompressed
        }
        if "curvature" in {self.importance, self.scales}:
            context.statistics(self.statistics_photos)  # gathered now, with a progress bar of its own
        with context.progress("sharing weights", len(bits)) as advance:
            for name, layer_bits in bits.items():
                changed[name] = self._shared(name, model, layer_bits, context)
                advance(1)
        return model.with_tensors(changed)

    def _shared(self, name: str, model: Model, bits: int, context: Context) -> Shared:
        tensor = model.tensors[name]
        if isinstance(tensor, Shared):
            raise PassError("its weights are shared already", tensor=name)
        values = tensor.to_dense()
        check_finite(values, name)
        mask = tensor.mask if isinstance(tensor, Pruned) else np.ones(values.shape, dtype=np.bool_)
        cost: NDArray[np.float64] = np.ones(values.shape)
        rows = columns = None
        if "curvature" in {self.importance, self.scales}:
            statistics = context.statistics(self.statistics_photos)[name]
            if self.importance == "curvature":
                cost = statistics.weight_cost().reshape(values.shape)
            if self.scales == "curvature":
                rows, columns = equalising_exponents(values, statistics)
        elif self.importance == "magnitude":
            cost = np.abs(values).astype(np.float64)
        scale = np.broadcast_to(weight_scales(values.ndim, rows, columns), values.shape)
        points = (values / scale)[mask].astype(np.float64)
        centroids = self._centroids(points, (cost * np.square(scale, dtype=np.float64))[mask], 2**bits - 1, context)
        codebook = as_codebook(centroids, self.codebook, name)
        # A kept weight takes entry 0 only where a centroid is zero too: weights that are zero without being pruned.
        zero_is_centroid = bool((centroids.astype(self.codebook) == 0).any())
        choices = np.arange(0 if zero_is_centroid else 1, len(codebook), dtype=np.uint16)
        choices = choices[np.argsort(codebook[choices])]
        indices = np.zeros(values.shape, np.uint16)
        indices[mask] = choices[nearest_entry(codebook[choices], points)]
        return Shared(codebook, indices, self.codebook, rows, columns)

    def _centroids(
        self, points: NDArray[np.float64], cost: NDArray[np.float64], count: int, context: Context
    ) -> NDArray[np.float64]:
        """Return at most `count` centroids of one-dimensional points."""
        distinct = np.unique(points)
        if len(distinct) <= count:
            return distinct
        starts: str | NDArray[np.float64] = "k-means++"
        if self.init == "linear":
            starts = np.linspace(distinct[0], distinct[-1], count)[:, None]
        elif self.init == "density":
            starts = np.unique(np.quantile(points, (np.arange(count) + 0.5) / count))[:, None]
        clusters = count if isinstance(starts, str) else len(starts)
        seed = context.stage_seed
        means = KMeans(clusters, init=starts, n_init=1, max_iter=self.iterations, random_state=seed)
        with warnings.catch_warnings():
            # Fewer clusters than asked for is no fault here: the codebook is smaller.
            warnings.simplefilter("ignore", ConvergenceWarning)
            weights = cost / cost.mean() if cost.any() else None
            means.fit(points[:, None], sample_weight=weights)
        return np.asarray(means.cluster_centers_[:, 0], dtype=np.float64)
