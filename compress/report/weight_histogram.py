"""Histograms of a layer's weights in `report.json`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, PlainSerializer

from compress.evaluation.results import significant

_BINS = 60
CODEBOOK_MARKS = 260
"""Intervals into which a histogram divides its range to place codebook entries."""


def _marks_to_hex(marks: tuple[int, ...]) -> str:
    return f"{sum(1 << mark for mark in marks):x}"


def _marks_from_hex(value: object) -> object:
    """Return the marks of a hexadecimal number; pydantic checks all other values."""
    if not isinstance(value, str):
        return value
    bits = int(value, 16)
    return tuple(mark for mark in range(CODEBOOK_MARKS + 1) if bits >> mark & 1)


_Marks = Annotated[tuple[int, ...], BeforeValidator(_marks_from_hex), PlainSerializer(_marks_to_hex, return_type=str)]


@dataclass(frozen=True)
class WeightHistogram:
    """Histograms of one layer's weights before and after compression, over the same bins of equal width.

    Scales and the kernel transform are undone first, so that the codebook entries lie on the same axis.

    Attributes:
        low: lower end of the range of the float weights, four significant digits, as `high`.
        float_counts: float weights in each bin.
        decoded_counts: nonzero decoded weights in each bin; values outside the range are clipped to it.
        codebook_marks: distinct positions of the codebook entries, clipped, in 1/`CODEBOOK_MARKS` of the range,
            ascending. JSON has them as a hexadecimal number: bit i is set if there is an entry at position i.
        pruned_counts: float weights in each bin that are zero after compression, up to the last bin that has any.
    """

    low: float
    high: float
    float_counts: tuple[int, ...]
    decoded_counts: tuple[int, ...]
    codebook_marks: _Marks
    pruned_counts: tuple[int, ...] = ()

    @classmethod
    def of(
        cls,
        float_weights: NDArray[np.float32],
        decoded_weights: NDArray[np.float32],
        codebook: NDArray[np.float32] | None,
    ) -> WeightHistogram:
        """Count float and decoded weights, of equal shape, over the range of the float weights."""
        edges = np.histogram_bin_edges(float_weights, _BINS)
        low, high = float(edges[0]), float(edges[-1])
        is_zero = decoded_weights == 0
        counts = (
            tuple(np.histogram(np.clip(weights, low, high), edges)[0].tolist())
            for weights in (float_weights, decoded_weights[~is_zero], float_weights[is_zero])
        )
        entries = np.clip([] if codebook is None else codebook, low, high)
        marks = np.unique(np.round((entries - low) / (high - low) * CODEBOOK_MARKS).astype(int))
        float_counts, decoded_counts, pruned_counts = counts
        pruned_bins = max(np.flatnonzero(pruned_counts), default=-1) + 1
        return cls(
            significant(low),
            significant(high),
            float_counts,
            decoded_counts,
            tuple(marks.tolist()),
            pruned_counts[:pruned_bins],
        )
