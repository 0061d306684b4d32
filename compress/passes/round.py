"""Rounding by what an error costs, each error made up for by the weights not yet rounded."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from compress.calibration.layer_statistics import LayerStatistics
from compress.calibration.packed_triangular import packed
from compress.context import Context
from compress.errors import PassError
from compress.model import Model
from compress.passes.interface import Pass
from compress.quantization.codebooks import as_codebook
from compress.quantization.gptq import choose, prices
from compress.tensors.forms import Shared

_UNSEEN = 0.01
"""Count given to a codebook entry that no weight took: it stays possible, at a high price."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Round(Pass):
    """Choose every index again so that bytes and divergence together are least, and refit the shared values.

    Columns are rounded one after the other. Each weight takes the shared value for which `divergence + slope * bits`
    is least, `bits` being what its symbol's frequency makes it cost; the error is fed forward to the columns still to
    come, which make up for it. Then each shared value moves to the mean of its weights, values that none took go, the
    frequencies are counted anew, and so on for `iterations`. The targets are the float network's weights; what was
    pruned stays zero.

    Attributes:
        slope: what a bit is worth, in nats of divergence: the larger, the smaller the file. One slope for the whole
            network makes the bits go to the layers that need them.
        iterations: how often the values are refitted and the indices chosen again.
        statistics_photos: how many calibration photos the statistics take; all if not given.
    Source: Frantar et al. 2022 (GPTQ), arXiv:2210.17323; Chou, Lookabaugh & Gray 1989, "Entropy-constrained vector
    quantization".
    """

    kind: ClassVar[str] = "round"

    slope: Annotated[float, Field(ge=0, le=1)] = 1e-7
    iterations: Annotated[int, Field(ge=1, le=100)] = 8
    statistics_photos: Annotated[int, Field(ge=1)] | None = None

    def __call__(self, model: Model, context: Context) -> Model:
        """Return the model with new indices and codebooks.

        Raises:
            PassError: a weight tensor is not shared yet, or shares the coefficients of its kernels.
        """
        changed: dict[str, Shared] = {}
        names = model.weight_names()
        statistics = context.statistics(self.statistics_photos)
        with context.progress("rounding", len(names)) as advance:
            for name in names:
                tensor = model.tensors[name]
                if not isinstance(tensor, Shared):
                    raise PassError("its weights are not shared yet; put a share stage first", tensor=name)
                if tensor.coefficient_exponents is not None:
                    problem = "what it shares are coefficients of kernels, which are rounded as they are chosen"
                    raise PassError(f"{problem}; leave round out, or set kernels of quantize to weights", tensor=name)
                target = context.reference.tensors[name].to_dense()
                changed[name] = self._rounded(name, tensor, target, statistics[name])
                advance(1)
        return model.with_tensors(changed)

    def _rounded(self, name: str, tensor: Shared, target: NDArray[np.float32], statistics: LayerStatistics) -> Shared:
        layer = _Layer(tensor, target, statistics)
        codebook = tensor.codebook.astype(np.float64)
        counts = np.ones(len(codebook))  # not known before the first choice: all values cost the same number of bits
        for iteration in reversed(range(self.iterations)):
            if iteration == 0:
                codebook, counts = _at_precision(codebook, counts, tensor, name)
            indices, wanted = layer.choose(codebook, prices(counts + _UNSEEN, self.slope))
            counts = np.bincount(indices.ravel(), minlength=len(codebook)).astype(np.float64)
            used = counts > 0
            used[0] = True  # the pruned weight's value stays, and stays first
            indices = (np.cumsum(used) - 1)[indices]
            codebook, counts = codebook[used], counts[used]
            if iteration > 0:
                codebook = layer.means(codebook, indices, wanted)
        return replace(
            tensor,
            codebook=codebook.astype(np.float32),
            indices=indices.reshape(tensor.shape).astype(np.uint16),
        )


class _Layer:
    """One layer's rounding, as a matrix: rows are output channels, columns inputs and kernel positions."""

    def __init__(self, tensor: Shared, target: NDArray[np.float32], statistics: LayerStatistics) -> None:
        rows = len(target)
        self.target = target.reshape(rows, -1).astype(np.float64)
        self.mask = tensor.mask.reshape(rows, -1)
        self.scale = np.broadcast_to(tensor.scale(), tensor.shape).reshape(rows, -1).astype(np.float64)
        self.output_cost, factor = statistics.output_cost, statistics.feedback()
        self.factors = packed(factor[None]).astype(np.float32)
        self.cost = statistics.rounding_cost(factor) * self.scale**2

    def choose(
        self, codebook: NDArray[np.float64], price: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Choose an index for every weight; `price` is what each entry is worth, nats of divergence."""
        return choose(self.target, self.mask, self.scale, self.output_cost, self.factors, codebook, price)

    def means(
        self, codebook: NDArray[np.float64], indices: NDArray[np.int64], wanted: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the codebook, each entry but the first moved to the weighted mean of what its weights wanted."""
        entries = len(codebook)
        mass = np.bincount(indices.ravel(), self.cost.ravel(), entries)
        moved = np.bincount(indices.ravel(), (self.cost * wanted).ravel(), entries)
        # A layer that no calibration photo reaches has no cost, and its values stay.
        means = np.divide(moved, mass, out=codebook.copy(), where=mass > 0)
        means[0] = 0
        return means


def _at_precision(
    codebook: NDArray[np.float64], counts: NDArray[np.float64], tensor: Shared, name: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Round a codebook to its precision in the file; entries that become equal become one, counted together."""
    rounded = as_codebook(codebook, tensor.stored_as, name)
    place = np.searchsorted(rounded[1:], codebook.astype(tensor.stored_as).astype(np.float32)) + 1
    place[codebook.astype(tensor.stored_as) == 0] = 0
    return rounded.astype(np.float64), np.bincount(place, counts, len(rounded)).astype(np.float64)
