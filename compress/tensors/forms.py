"""The forms of a weight tensor. Forms are immutable; a pass makes new tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from compress.errors import PassError
from compress.tensors.kernel_transform import (
    KERNEL_SIDE,
    coefficients_from_kernels,
    has_3x3_kernels,
    kernels_from_coefficients,
)
from compress.tensors.levels import MAX_FLOAT16_LEVELS, is_view_of_levels, levels_codebook
from compress.tensors.scales import weight_scales

FloatName = Literal["float16", "float32"]

_MAX_ENTRIES = 2**16


@dataclass(frozen=True, eq=False)
class Dense:
    """Plain values.

    Attributes:
        values: float32, any shape.
        stored_as: precision in the file, which holds each value exactly.
    """

    values: NDArray[np.float32]
    stored_as: FloatName = "float32"

    def __post_init__(self) -> None:
        assert self.values.dtype == np.float32
        assert _fits(self.values, self.stored_as)
        _make_read_only(self.values)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    def to_dense(self) -> NDArray[np.float32]:
        """Return the float32 values, read-only."""
        return self.values


@dataclass(frozen=True, eq=False)
class Pruned:
    """Values with a mask.

    Attributes:
        values: float32, any shape; exactly zero where pruned.
        mask: bool, same shape; False where pruned.
    """

    values: NDArray[np.float32]
    mask: NDArray[np.bool_]

    def __post_init__(self) -> None:
        assert self.values.dtype == np.float32
        assert self.mask.dtype == np.bool_
        assert self.values.shape == self.mask.shape
        assert not self.values[~self.mask].any()
        _make_read_only(self.values, self.mask)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    def to_dense(self) -> NDArray[np.float32]:
        """Return the float32 values, zero where pruned, read-only."""
        return self.values


@dataclass(frozen=True, eq=False)
class Shared:
    """Values shared through a codebook; index 0 is the pruned weight.

    A weight is `codebook[index] * 2 ** ((row + column) / 4)`, with the exponents of its row (output channel) and its
    column (input channel), or 0 without exponents. With coefficient exponents, which join the sum, this product is a
    coefficient of a 3x3 kernel, and `kernel_transform` turns coefficients into weights.

    Attributes:
        codebook: float32, shape (entries,); entry 0 is exactly zero.
        indices: uint16, the tensor's shape, each below `len(codebook)`.
        stored_as: precision of the codebook in the file, which holds each entry exactly.
        row_exponents: int8, shape (rows,), the first dimension; None: no row scales.
        column_exponents: int8, shape (columns,), the second dimension; None: no column scales.
        coefficient_exponents: int8, shape (3, 3); None: indices are of weights.
    """

    codebook: NDArray[np.float32]
    indices: NDArray[np.uint16]
    stored_as: FloatName = "float16"
    row_exponents: NDArray[np.int8] | None = None
    column_exponents: NDArray[np.int8] | None = None
    coefficient_exponents: NDArray[np.int8] | None = None

    def __post_init__(self) -> None:
        assert self.codebook.dtype == np.float32
        assert self.codebook.ndim == 1
        assert self.indices.dtype == np.uint16
        assert 1 <= len(self.codebook) <= _MAX_ENTRIES
        assert self.codebook[0] == 0
        assert _fits(self.codebook, self.stored_as)
        assert self.indices.size == 0 or int(self.indices.max()) < len(self.codebook)
        assert self.coefficient_exponents is None or has_3x3_kernels(self.shape)
        shapes = self.shape[:1], self.shape[1:2], (KERNEL_SIDE, KERNEL_SIDE)
        for exponents, shape in zip(self.exponents, shapes, strict=True):
            if exponents is not None:
                assert exponents.dtype == np.int8
                assert exponents.ndim > 0
                assert exponents.shape == shape
                _make_read_only(exponents)
        _make_read_only(self.codebook, self.indices)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.indices.shape

    @property
    def mask(self) -> NDArray[np.bool_]:
        """False where pruned; with coefficients, where all coefficients of a kernel are 0."""
        mask: NDArray[np.bool_] = self.indices != 0
        if self.coefficient_exponents is not None:
            mask = np.broadcast_to(mask.any((2, 3), keepdims=True), self.shape)
        return mask

    @property
    def exponents(self) -> tuple[NDArray[np.int8] | None, NDArray[np.int8] | None, NDArray[np.int8] | None]:
        """Exponents of rows, of columns and of coefficients."""
        return self.row_exponents, self.column_exponents, self.coefficient_exponents

    @property
    def is_scaled(self) -> bool:
        return any(part is not None for part in self.exponents)

    @property
    def has_levels(self) -> bool:
        """Whether the codebook is `levels_codebook`."""
        return is_view_of_levels(self.codebook) or np.array_equal(self.codebook, levels_codebook(len(self.codebook)))

    def scale(self) -> NDArray[np.float32]:
        """Return the float32 scale of each weight or coefficient, broadcastable to the tensor's shape."""
        return weight_scales(len(self.shape), *self.exponents)

    def to_dense(self) -> NDArray[np.float32]:
        """Return the float32 weights: one float32 product each, so that every reader gets the same bits."""
        values = self.codebook[self.indices]
        if self.is_scaled:
            values *= self.scale()
        return values if self.coefficient_exponents is None else kernels_from_coefficients(values)

    def unscaled(self, values: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return the codebook values that would give these weights."""
        shared = values if self.coefficient_exponents is None else coefficients_from_kernels(values)
        result: NDArray[np.float64] = shared.astype(np.float64) / self.scale()
        return result


Tensor = Dense | Pruned | Shared


def as_shared(values: NDArray[np.float32]) -> Shared:
    """Return values as a shared tensor, without loss.

    The codebook is zero, then the distinct values by magnitude, positive and negative in turn, as levels are.

    Args:
        values: float32, any shape, with at most 65,535 distinct nonzero values.
    Raises:
        PassError: a value is not finite or is minus zero, or there are too many distinct ones.
    """
    if not np.isfinite(values).all() or np.signbit(values[values == 0]).any():
        raise PassError("a value is not finite or is -0.0, which no shared value can be")
    distinct, inverse = np.unique(values.reshape(-1), return_inverse=True)
    positive_rank, negative_rank = np.cumsum(distinct > 0), np.cumsum((distinct < 0)[::-1])[::-1]
    rank = np.where(distinct > 0, 2 * positive_rank - 1, 2 * negative_rank) * (distinct != 0)
    order = np.argsort(rank, kind="stable")
    codebook = distinct[order]
    if not (distinct == 0).any():
        codebook = np.concatenate([np.zeros(1, np.float32), codebook])
    if len(codebook) > _MAX_ENTRIES:
        raise PassError(f"{len(codebook):,} different values (allowed: up to {_MAX_ENTRIES:,}, zero among them)")
    index = np.empty(len(distinct), dtype=np.uint16)
    index[order] = np.arange(len(codebook) - len(distinct), len(codebook))
    return Shared(codebook, index[inverse.reshape(-1)].reshape(values.shape), "float32")


def _make_read_only(*arrays: NDArray[np.generic]) -> None:
    for array in arrays:
        array.flags.writeable = False


def _fits(values: NDArray[np.float32], name: FloatName) -> bool:
    """Return whether each value is a number of this precision."""
    if name == "float32" or (is_view_of_levels(values) and values.size <= MAX_FLOAT16_LEVELS):
        return True
    with np.errstate(over="ignore"):
        return bool(np.array_equal(values, values.astype(name).astype(np.float32), equal_nan=True))
