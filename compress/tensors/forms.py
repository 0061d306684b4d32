"""What a weight tensor is at each stage: dense, pruned, or shared.

Each form knows its shape, its dense values and its symbols, and nothing else does. All are immutable: a pass makes
new ones. Numpy alone is needed to read them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from compress.errors import PassError
from compress.tensors.kernel_transform import SIDE, coefficients_of, has_kernels, kernels_of
from compress.tensors.levels import MOST_FLOAT16_LEVELS, _begins_levels, levels_codebook
from compress.tensors.scales import weight_scales

FloatName = Literal["float16", "float32"]


def _frozen(array: NDArray[np.generic]) -> None:
    array.flags.writeable = False


@dataclass(frozen=True, eq=False)
class Dense:
    """Plain values.

    Attributes:
        values: float32, any shape.
        stored_as: precision in the file. Where it is float16, each value already is a float16 number, so that
            writing loses nothing.
    """

    values: NDArray[np.float32]
    stored_as: FloatName = "float32"

    def __post_init__(self) -> None:
        assert self.values.dtype == np.float32
        assert _fits(self.values, self.stored_as)
        _frozen(self.values)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    def to_dense(self) -> NDArray[np.float32]:
        """Return the float32 values, read-only."""
        return self.values


@dataclass(frozen=True, eq=False)
class Pruned:
    """Values of which some are removed.

    Attributes:
        values: float32, exactly zero where pruned.
        kept: bool, same shape; False where pruned.
    """

    values: NDArray[np.float32]
    mask: NDArray[np.bool_]

    def __post_init__(self) -> None:
        assert self.values.dtype == np.float32
        assert self.mask.dtype == np.bool_
        assert self.values.shape == self.mask.shape
        assert not self.values[~self.mask].any()
        _frozen(self.values)
        _frozen(self.mask)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    def to_dense(self) -> NDArray[np.float32]:
        """Return the float32 values, zero where pruned, read-only."""
        return self.values


@dataclass(frozen=True, eq=False)
class Shared:
    """Values shared through a codebook; index 0 is the pruned weight.

    The value of a weight is `codebook[index]`, times `2 ** ((row + column) / 4)` where the exponents of its row
    (output channel) and column (input channel) are given. Or what is shared is not the weights but the coefficients of
    their kernels: then exponents of these are given too, and are added to the other two.

    Attributes:
        codebook: float32, shape (entries,); entry 0 is exactly zero.
        indices: uint16, the tensor's shape, each below `len(codebook)`.
        stored_as: precision of the codebook in the file; each entry already is such a number.
        row_exponents: int8, shape (rows,), rows the tensor's first dimension; None for no scale.
        column_exponents: int8, shape (columns,), columns the tensor's second dimension; None for no scale.
        coefficient_exponents: int8, shape (3, 3), those of a kernel's coefficients; None where weights are shared.
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
        assert 1 <= len(self.codebook) <= 2**16
        assert self.codebook[0] == 0
        assert _fits(self.codebook, self.stored_as)
        assert self.indices.size == 0 or int(self.indices.max()) < len(self.codebook)
        for axis, exponents in enumerate((self.row_exponents, self.column_exponents)):
            if exponents is not None:
                assert exponents.dtype == np.int8
                assert exponents.shape == (self.shape[axis],)
                _frozen(exponents)
        if self.coefficient_exponents is not None:
            assert self.coefficient_exponents.dtype == np.int8
            assert self.coefficient_exponents.shape == (SIDE, SIDE)
            assert has_kernels(self.shape)
            _frozen(self.coefficient_exponents)
        _frozen(self.codebook)
        _frozen(self.indices)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.indices.shape

    @property
    def mask(self) -> NDArray[np.bool_]:
        """bool, the tensor's shape; False where the weight is pruned: of coefficients, where the whole kernel is."""
        mask: NDArray[np.bool_] = self.indices != 0
        if self.coefficient_exponents is not None:
            mask = np.broadcast_to(mask.any((2, 3), keepdims=True), self.shape)
        return mask

    @property
    def exponents(self) -> tuple[NDArray[np.int8] | None, NDArray[np.int8] | None, NDArray[np.int8] | None]:
        """Those of rows, of columns and of coefficients, None where there are none."""
        return self.row_exponents, self.column_exponents, self.coefficient_exponents

    @property
    def is_scaled(self) -> bool:
        """Whether entries of the codebook are multiplied with anything."""
        return any(part is not None for part in self.exponents)

    @property
    def has_levels(self) -> bool:
        """Whether the codebook is one of whole numbers in zigzag, as `levels_codebook` makes it."""
        return _begins_levels(self.codebook) or np.array_equal(self.codebook, levels_codebook(len(self.codebook)))

    def scale(self) -> NDArray[np.float32]:
        """Return the float32 scale of every weight, or coefficient, broadcastable to the tensor's shape."""
        return weight_scales(len(self.shape), *self.exponents)

    def to_dense(self) -> NDArray[np.float32]:
        """Return the float32 values: one float32 multiplication each, so every reader gets the same bits.

        Of coefficients, additions follow, as in `kernels_of`.
        """
        values = self.codebook[self.indices]
        if self.is_scaled:
            values *= self.scale()
        return values if self.coefficient_exponents is None else kernels_of(values)

    def unscaled(self, values: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return what the codebook's entries are to be for weights to have these values, shape as the tensor's."""
        shared = values if self.coefficient_exponents is None else coefficients_of(values)
        found: NDArray[np.float64] = shared.astype(np.float64) / self.scale()
        return found


Tensor = Dense | Pruned | Shared


def as_shared(values: NDArray[np.float32]) -> Shared:
    """Return a tensor of few different values as a shared one, without loss.

    Args:
        values: float32, any shape, finite, at most 65,535 different ones beside zero, none of them minus zero.
    Returns:
        a codebook of zero and the values, by their magnitude, positive and negative in turn as long as there are both:
        so an index, as a whole number in zigzag, tells how large its value is. float32.
    Raises:
        PassError: the values are others than said.
    """
    if not np.isfinite(values).all() or np.signbit(values[values == 0]).any():
        raise PassError("a value is not finite or is -0.0, which no shared value can be")
    different, places = np.unique(values.reshape(-1), return_inverse=True)
    rank = np.where(different > 0, 2 * np.cumsum(different > 0) - 1, 2 * np.cumsum((different < 0)[::-1])[::-1])
    order = np.argsort(rank * (different != 0), kind="stable")
    codebook = (
        different[order] if (different == 0).any() else np.concatenate([np.zeros(1, np.float32), different[order]])
    )
    if len(codebook) > 2**16:
        raise PassError(f"{len(codebook):,} different values (allowed: up to {2**16:,}, zero among them)")
    index = np.empty(len(different), dtype=np.uint16)
    index[order] = np.arange(len(codebook) - len(different), len(codebook))
    return Shared(codebook, index[places.reshape(-1)].reshape(values.shape), "float32")


def _fits(values: NDArray[np.float32], name: FloatName) -> bool:
    if name == "float32" or (_begins_levels(values) and values.size <= MOST_FLOAT16_LEVELS):
        return True
    with np.errstate(over="ignore"):
        return bool(np.array_equal(values, values.astype(name).astype(np.float32), equal_nan=True))
