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
from compress.kernels import SIDE, coefficients_of, has_kernels, kernels_of

FloatName = Literal["float16", "float32"]

SCALE_STEPS_PER_OCTAVE = 4
"""Scales are powers of 2 ** (1 / 4): a step of 19%, fine enough that its rounding costs nothing measurable."""

_FRACTIONS = np.array([1.0, 2.0**0.25, 2.0**0.5, 2.0**0.75], dtype=np.float32)


def scale_of(exponents: NDArray[np.integer]) -> NDArray[np.float32]:
    """Return 2 ** (exponents / 4) as float32, from one table and exact powers of two.

    Every reader gets the same bits: the four fractions are rounded once, and a power of two never rounds.
    """
    wide = np.asarray(exponents, dtype=np.int32)
    scale: NDArray[np.float32] = np.ldexp(_FRACTIONS[wide & 3], wide >> 2).astype(np.float32)
    return scale


def weight_scales(
    dimensions: int,
    row_exponents: NDArray[np.int8] | None,
    column_exponents: NDArray[np.int8] | None,
    coefficient_exponents: NDArray[np.int8] | None = None,
) -> NDArray[np.float32]:
    """Return the float32 scale of every weight or coefficient, broadcastable to its tensor's shape; see `Shared`."""
    exponents: NDArray[np.int32] = np.zeros((1,) * dimensions, dtype=np.int32)
    for axis, part in enumerate((row_exponents, column_exponents)):
        if part is not None:
            along = [1] * dimensions
            along[axis] = -1
            exponents = exponents + part.astype(np.int32).reshape(along)
    if coefficient_exponents is not None:
        exponents = exponents + coefficient_exponents.astype(np.int32)
    return scale_of(exponents)


MOST_FLOAT16_LEVELS = 4097
"""Entries up to which a codebook of levels is exact in float16, which holds whole numbers up to 2,048."""


def zigzag_symbols(levels: NDArray[np.int32]) -> NDArray[np.uint16]:
    """Return the symbols that stand for whole numbers from -32,767 to 32,768: 0, 1, -1, 2, -2 are 0, 1, 2, 3, 4."""
    negated = levels.astype(np.int16)  # 32,768 wraps around to what it is when negated
    np.negative(negated, out=negated)
    signs = negated >> 15
    negated <<= 1
    negated ^= signs
    return negated.view(np.uint16)


def zigzag_levels(symbols: NDArray[np.uint16]) -> NDArray[np.int32]:
    """Return the whole numbers that symbols stand for: the inverse of `zigzag_symbols`."""
    levels = symbols.astype(np.int32)
    levels += 1
    levels >>= 1
    others = (symbols & 1).view(np.int16)
    others -= 1  # 0, and -1 of the others: what flips all bits and then adds one negates
    levels ^= others
    levels -= others
    return levels


_LEVELS = zigzag_levels(np.arange(2**16, dtype=np.uint16)).astype(np.float32)
_LEVELS.flags.writeable = False


def levels_codebook(entries: int) -> NDArray[np.float32]:
    """Return the codebook of whole numbers in zigzag: 0, 1, -1, 2, -2 and so on, `entries` of them, 1 to 65,536.

    In a file it takes nothing but its length, and codec `context` takes symbols for these numbers.
    """
    assert 1 <= entries <= len(_LEVELS)
    return _LEVELS[:entries]


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
    kept: NDArray[np.bool_]

    def __post_init__(self) -> None:
        assert self.values.dtype == np.float32
        assert self.kept.dtype == np.bool_
        assert self.values.shape == self.kept.shape
        assert not self.values[~self.kept].any()
        _frozen(self.values)
        _frozen(self.kept)

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
    def kept(self) -> NDArray[np.bool_]:
        """bool, the tensor's shape; False where the weight is pruned: of coefficients, where the whole kernel is."""
        kept: NDArray[np.bool_] = self.indices != 0
        if self.coefficient_exponents is not None:
            kept = np.broadcast_to(kept.any((2, 3), keepdims=True), self.shape)
        return kept

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


def _begins_levels(values: NDArray[np.float32]) -> bool:
    """Return whether values are those of `levels_codebook` by being a part of it, without looking at each."""
    return values.base is _LEVELS and values.strides == _LEVELS.strides and values[0] == 0


def _fits(values: NDArray[np.float32], name: FloatName) -> bool:
    if name == "float32" or (_begins_levels(values) and values.size <= MOST_FLOAT16_LEVELS):
        return True
    with np.errstate(over="ignore"):
        return bool(np.array_equal(values, values.astype(name).astype(np.float32), equal_nan=True))
