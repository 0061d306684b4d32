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
from compress.tensors.levels import levels_codebook
from compress.tensors.scales import weight_scales

FloatName = Literal["float16", "float32"]

_MAX_ENTRIES = 2**16


@dataclass(frozen=True, eq=False)
class _Values:
    values: NDArray[np.float32]

    def __post_init__(self) -> None:
        assert self.values.dtype == np.float32
        self.values.flags.writeable = False

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    def to_dense(self) -> NDArray[np.float32]:
        """Return the float32 weights, read-only."""
        return self.values


@dataclass(frozen=True, eq=False)
class Dense(_Values):
    """Float32 values of any shape; the file holds them exactly in the precision `stored_as`."""

    stored_as: FloatName = "float32"

    def __post_init__(self) -> None:
        super().__post_init__()
        assert _fits(self.values, self.stored_as)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """True everywhere: no weight is pruned."""
        return np.ones(self.shape, np.bool_)


@dataclass(frozen=True, eq=False)
class Pruned(_Values):
    """Float32 values of any shape, exactly zero where the mask is False."""

    mask: NDArray[np.bool_]

    def __post_init__(self) -> None:
        super().__post_init__()
        assert self.mask.dtype == np.bool_
        assert self.values.shape == self.mask.shape
        assert not self.values[~self.mask].any()
        self.mask.flags.writeable = False


@dataclass(frozen=True, eq=False)
class Shared:
    """Values shared through a codebook; index 0 is the pruned weight.

    A weight is `codebook[index] * 2 ** (exponent / 4)`, with the sum of the exponents of its row (output channel) and
    its column (input channel). Exponents of coefficients join the sum; the product is then a coefficient of a 3x3
    kernel, and `kernel_transform` turns coefficients into weights.

    Attributes:
        codebook: shape (entries,); entry 0 is exactly zero.
        indices: the tensor's shape.
        stored_as: precision of the codebook in the file, exact.
        row_exponents: shape of the first dimension; None: 0.
        column_exponents: shape of the second dimension; None: 0.
        coefficient_exponents: shape (3, 3); None: indices are of weights.
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
                assert exponents.shape == shape != ()
                exponents.flags.writeable = False
        self.codebook.flags.writeable = self.indices.flags.writeable = False

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
        return self.row_exponents, self.column_exponents, self.coefficient_exponents

    @property
    def has_levels(self) -> bool:
        return np.array_equal(self.codebook, levels_codebook(len(self.codebook)))

    def scale(self) -> NDArray[np.float32]:
        """Return the float32 scale of each weight or coefficient, broadcastable to the tensor's shape."""
        return weight_scales(len(self.shape), *self.exponents)

    def to_dense(self) -> NDArray[np.float32]:
        """Return the float32 weights: one float32 product each, so that every reader gets the same bits."""
        values = self.codebook[self.indices] * self.scale()
        return values if self.coefficient_exponents is None else kernels_from_coefficients(values)

    def unscaled(self, values: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return the codebook values that would give these weights."""
        shared = values if self.coefficient_exponents is None else coefficients_from_kernels(values)
        result: NDArray[np.float64] = shared.astype(np.float64) / self.scale()
        return result


Tensor = Dense | Pruned | Shared


def check_finite(values: NDArray[np.float32], tensor: str) -> None:
    """Raise a PassError where a weight of the named tensor is NaN or infinite."""
    if bad := np.count_nonzero(~np.isfinite(values)):
        raise PassError(f"{bad:,} weights are not finite (NaN or infinity)", tensor=tensor)


def as_shared(values: NDArray[np.float32]) -> Shared:
    """Return equal values as a shared tensor. Only the sign of zero is lost: masks of other programs leave -0.0.

    The codebook is zero, then the distinct values by magnitude, positive and negative in turn, as levels are.

    Raises:
        PassError: a value is not finite, or more than 65,535 distinct ones are not zero.
    """
    if not np.isfinite(values).all():
        raise PassError("a value is not finite, which no shared value can be")
    distinct, inverse = np.unique(
        np.append(values, np.float32(0)) + np.float32(0), return_inverse=True
    )  # -0.0 becomes 0.0
    if len(distinct) > _MAX_ENTRIES:
        raise PassError(f"{len(distinct):,} different values (allowed: up to {_MAX_ENTRIES:,}, zero among them)")
    rank = np.arange(len(distinct)) - np.searchsorted(distinct, 0)
    order = np.argsort(np.where(rank > 0, 2 * rank - 1, -2 * rank))
    index = np.argsort(order).astype(np.uint16)
    return Shared(distinct[order], index[inverse[:-1]].reshape(values.shape), "float32")


def _fits(values: NDArray[np.float32], name: FloatName) -> bool:
    with np.errstate(over="ignore"):
        return name == "float32" or bool(np.array_equal(values, values.astype(name).astype(np.float32), equal_nan=True))
