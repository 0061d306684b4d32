"""A layer's weights on evenly spaced levels, at the steps that a slope between bytes and divergence asks for."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from compress.calibration.layer_statistics import group_of_rows
from compress.calibration.packed_triangular import diagonals, packed, upper
from compress.codecs.primitives.trellis import MIDDLE_TRELLIS, NO_TRELLIS, Trellis
from compress.errors import PassError
from compress.quantization.gptq import prices
from compress.quantization.step_sizes import _STEP, Floats, as_exponents, step_exponents
from compress.quantization.trellis_search import choose_path
from compress.tensors.forms import FloatName, Shared
from compress.tensors.kernel_transform import SIDE, coefficients_of
from compress.tensors.levels import MOST_FLOAT16_LEVELS, levels_codebook, zigzag_symbols
from compress.tensors.scales import weight_scales

_TRELLIS_STEP = 0.5 * 10 ** (1.46 / 20)
"""A trellis' step in parts of a plain one: half, as each of its quantizers uses every second level; and wider by the
1.46 dB that the choice between them saves."""

_MOST_LEVELS = 2**14
"""On either side of zero."""

_UNSEEN = 0.5
"""Count given to a level that no weight took."""


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer's weights with what errors in them cost.

    Attributes:
        name: of the tensor.
        values: float32, shape (rows, columns, ...), the weights wanted.
        kept: bool, the same shape; False where the weight is pruned.
        output_cost: shape (rows,), as in `LayerStatistics`.
        factors: float32, `LayerStatistics.row_feedback`, of weights or of coefficients.
        coupling: `LayerStatistics.coupling`.
        coefficients: whether the coefficients of kernels are to be on levels, and not the weights.
        bias_cost: shape (rows,), as in `LayerStatistics`.
        turn: shape (input channels,), in which turn they are chosen, as the columns of the factors are; each makes up
            for the errors of those before. None for the order in which they are.
    """

    name: str
    values: NDArray[np.float32]
    mask: NDArray[np.bool_]
    output_cost: Floats
    factors: NDArray[np.float32]
    coupling: Floats | None = None
    coefficients: bool = False
    bias_cost: Floats | None = None
    turn: NDArray[np.int64] | None = None

    def divergence(self, values: NDArray[np.float32]) -> float:
        """Return what the statistics say that the errors of stored weights cost, nats; shape as `values`."""
        errors = self._as_matrix(self.values - values)[:, self._columns]
        left = np.empty_like(errors)
        group_of = group_of_rows(len(errors), len(self.factors))
        for group, factor in enumerate(self.factors):
            rows = group_of == group
            left[rows] = solve_triangular(upper(factor).T.astype(np.float64), errors[rows].T, lower=True).T
        left *= np.sqrt(self.output_cost)[:, None]
        if self.coupling is not None:
            left = solve_triangular(self.coupling.T, left, lower=True)
        return 0.5 * float(np.square(left).sum())

    @property
    def costs(self) -> tuple[Floats, NDArray[np.float32]]:
        """What says how large steps are: `output_cost`, and the diagonals of the factors, shape (groups, columns)."""
        return self.output_cost, diagonals(self.factors)[:, np.argsort(self._columns)]

    @property
    def channels_in_turn(self) -> NDArray[np.int64]:
        """In which turn input channels are chosen, shape (input channels,)."""
        return np.arange(self.values.shape[1]) if self.turn is None else self.turn

    def scaled(self, values: NDArray[np.float32], rows: Floats, inputs: Floats) -> Layer:
        """Return the layer with weights whose rows are multiplied, and whose input channels are divided.

        Args:
            values: the weights after it.
            rows: shape (rows,), by what they are multiplied.
            inputs: shape (columns,), by what their channels are. The factors are divided by it in place.
        """
        by_column = np.repeat(inputs, self.values[0, 0].size)[self._columns].astype(np.float32)
        self.factors[...] /= packed(np.broadcast_to(by_column, (len(by_column), len(by_column))))
        bias_cost = None if self.bias_cost is None else self.bias_cost / rows**2
        return replace(self, values=values, output_cost=self.output_cost / rows**2, bias_cost=bias_cost)

    def costing(self, times: float) -> Layer:
        """Return the layer with errors that cost so many times as much."""
        return replace(self, output_cost=self.output_cost * times)

    def without(self, gone: NDArray[np.bool_]) -> Layer:
        """Return the layer with these weights pruned; shape as `kept`."""
        return replace(self, mask=self.mask & ~gone)

    def on_levels(self, slope: float, along: Trellis, iterations: int) -> Shared:
        """Return the layer on levels; its codebook holds whole numbers, and the steps are its scales.

        Args:
            slope: what a bit is worth, nats of divergence.
            along: trellis that levels follow down each column, or `NO_TRELLIS`.
            iterations: how often levels are chosen, their frequencies counted anew. All but the last time along a
                trellis of 256 states at most: frequencies are nearly the same along a larger one, which takes longer.
        Raises:
            PassError: it would need more levels than a file can have.
        """
        shape = self.values.shape
        target = self._as_matrix(self.values)
        mask = self.mask.reshape(target.shape)
        factor = 1.0 if along is NO_TRELLIS else _TRELLIS_STEP
        exponents = step_exponents(*self.costs, shape, slope, factor, coefficients=self.coefficients)
        steps = np.broadcast_to(weight_scales(len(shape), *exponents), shape)
        scale = steps.reshape(target.shape).astype(np.float64)
        # Feedback moves a weight by a few steps, hardly ever by more.
        most = int(np.abs(target / scale).max(initial=0)) + 16
        if most > _MOST_LEVELS:
            raise PassError(f"it would need {2 * most + 1:,} levels; take a larger slope", tensor=self.name)
        turn, levels = self._columns, np.empty(target.shape, dtype=np.int32)
        wanted = target[:, turn], mask[:, turn], scale[:, turn]
        levels[:, turn] = self._chosen(*wanted, slope, along, iterations, most)
        return on_levels(levels.reshape(shape), *exponents)

    @property
    def _columns(self) -> NDArray[np.int64]:
        """In which turn columns are chosen: the taps of one channel after those of another."""
        taps = self.values[0, 0].size
        columns: NDArray[np.int64] = (self.channels_in_turn[:, None] * taps + np.arange(taps)).ravel()
        return columns

    def _as_matrix(self, values: NDArray[np.float32]) -> Floats:
        """Return weights, or the coefficients of their kernels, as float64, shape (rows, columns)."""
        shared = coefficients_of(values) if self.coefficients else values.astype(np.float64)
        return shared.reshape(len(values), -1)

    def _chosen(
        self,
        target: Floats,
        mask: NDArray[np.bool_],
        scale: Floats,
        slope: float,
        along: Trellis,
        iterations: int,
        most: int,
    ) -> NDArray[np.int32]:
        # An index is half of a level of the trellis. Without it, levels of half the scale are taken, all of them even.
        times, largest_index = (2, most) if along is NO_TRELLIS else (1, most // 2 + 1)
        # Patterns of a kernel differ in how large their coefficients are, so each has frequencies of its own.
        sorts = SIDE**2 if self.coefficients else 1
        price = np.zeros((sorts, 2, 2 * largest_index + 1))  # not known before the first choice: all cost as many bits
        for taken in [quick(along)] * (iterations - 1) + [along]:
            levels, counts = choose_path(
                target, mask, scale / times, self.output_cost, self.factors, price, self.coupling, taken
            )
            price = prices(counts + _UNSEEN, slope)
        return levels // times


def quick(along: Trellis) -> Trellis:
    """Return the trellis to go along where levels are not the last word: one of 256 states at most."""
    return min(along, MIDDLE_TRELLIS, key=lambda trellis: len(trellis.quantizer))


def bias_on_levels(values: NDArray[np.float32], cost: Floats, slope: float) -> Shared:
    """Return biases on levels, with one step for all of a layer.

    Args:
        values: shape (rows,).
        cost: shape (rows,), as `LayerStatistics.bias_cost`.
        slope: nats a bit.
    """
    least_step = float(np.abs(values).max(initial=0)) / (_MOST_LEVELS / 2)
    step = max(math.sqrt(_STEP * slope / max(float(cost.mean()), np.finfo(np.float64).tiny)), least_step)
    exponent = np.clip(as_exponents(np.log2(np.array([max(step, 2.0**-30)]))), -127, 127)
    rows = np.full(len(values), exponent[0], dtype=np.int8)
    levels = np.rint(values.astype(np.float64) / weight_scales(1, rows, None).astype(np.float64)).astype(np.int32)
    return on_levels(levels, rows, None)


def on_levels(
    levels: NDArray[np.int32],
    rows: NDArray[np.int8],
    columns: NDArray[np.int8] | None,
    coefficients: NDArray[np.int8] | None = None,
) -> Shared:
    """Return whole numbers times their steps as a shared tensor, its codebook one of levels, up to the largest used."""
    symbols = zigzag_symbols(levels)
    entries = int(symbols.max(initial=0)) + 1
    stored_as: FloatName = "float16" if entries <= MOST_FLOAT16_LEVELS else "float32"
    return Shared(levels_codebook(entries), symbols, stored_as, rows, columns, coefficients)
