"""Groups of columns with similar frequencies of symbols, each of which may take its own code."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from compress.codecs.primitives.symbol_histogram import Symbols, histogram, ideal_bits
from compress.runtime.jit import Contiguous, compiled

MAX_GROUPS = 4

_Counts = Annotated[NDArray[np.int64], Contiguous(2)]

_MAX_ITERATIONS = 20
_MAX_COUNTS_PER_WEIGHT = 4
_UNITS_PER_BIT = 256
"""Code lengths become integers in this unit, so that every machine makes the same groups."""


class Grouping(NamedTuple):
    """Columns by group.

    Attributes:
        group: uint8, shape (columns,), of each column; shape (1,) where columns are not told apart.
        counts: int64, shape (groups, symbols), frequencies in each group.
    """

    group: NDArray[np.uint8]
    counts: NDArray[np.int64]


def groupings(symbols: NDArray[np.uint16]) -> Iterator[Grouping]:
    """Yield all columns in one group, then several groups, of symbols whose second dimension is the column."""
    columns = symbols.shape[1] if symbols.ndim > 1 else 1
    used = int(symbols.max(initial=0)) + 1
    if not has_columns(columns, used, symbols.size):
        yield from groupings_of(histogram(symbols)[None])
        return
    counts = np.zeros((columns, used), dtype=np.int64)
    _count_by_column(np.ascontiguousarray(symbols).reshape(-1), math.prod(symbols.shape[2:]), counts)
    yield from groupings_of(counts)


def groupings_of(counts: NDArray[np.int64]) -> Iterator[Grouping]:
    """Yield all columns in one group, then several groups, from their frequencies, shape (columns, symbols)."""
    yield Grouping(np.zeros(1, np.uint8), counts.sum(0, keepdims=True))
    for groups in range(2, min(MAX_GROUPS, len(counts)) + 1):
        group = _grouped(counts, groups)
        if group.max() + 1 == groups:  # otherwise the grouping before
            yield Grouping(group, _summed(counts, group, groups))


@compiled()
def _count_by_column(symbols: Symbols, taps: int, counts: _Counts) -> None:
    """Count symbols row by row; `taps` symbols of a column follow one another."""
    column, tap = 0, 0
    for symbol in symbols:
        counts[column, symbol] += 1
        tap += 1
        if tap == taps:
            tap, column = 0, column + 1 if column + 1 < counts.shape[0] else 0


def has_columns(columns: int, symbols: int, weights: int) -> bool:
    """Return whether columns are told apart: not if their frequencies took far more memory than the weights."""
    return columns > 1 and columns * symbols <= _MAX_COUNTS_PER_WEIGHT * weights


def _grouped(counts: NDArray[np.int64], groups: int) -> NDArray[np.uint8]:
    """Return the group of each column, so that the ideal codes of the groups take few bits.

    Columns begin in the order of their entropy, in groups of equal size, and move to the group whose code is the
    shortest for them until none moves. A group may lose all its columns.

    Source: Banerjee et al. 2005, "Clustering with Bregman divergences".
    """
    background = (counts.sum(0) + 1.0) / (counts.sum() + counts.shape[1])
    bits = (counts * ideal_bits(counts + background)).sum(1) / np.maximum(counts.sum(1), 1)
    rank = np.argsort(np.argsort(np.rint(_UNITS_PER_BIT * bits), kind="stable"), kind="stable")
    group = rank * groups // len(counts)
    for _ in range(_MAX_ITERATIONS):
        lengths = np.rint(_UNITS_PER_BIT * ideal_bits(_summed(counts, group, groups) + background))
        nearest = np.argmin(counts @ lengths.astype(np.int64).T, axis=1)
        if np.array_equal(nearest, group):
            break
        group = nearest
    return np.unique(group, return_inverse=True)[1].astype(np.uint8)


def _summed(counts: NDArray[np.int64], group: NDArray[np.integer[Any]], groups: int) -> NDArray[np.int64]:
    summed: NDArray[np.int64] = (group == np.arange(groups)[:, None]).astype(np.int64) @ counts
    return summed
