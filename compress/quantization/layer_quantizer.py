"""Compression of one layer by rate and distortion: to uniform levels, or to the entries of a codebook."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from compress.calibration.layer_statistics import row_groups
from compress.calibration.packed_triangular import diagonals, packed, upper
from compress.codecs.primitives.column_groups import has_columns
from compress.codecs.primitives.symbol_histogram import UNSEEN_COUNT, ideal_bits
from compress.codecs.primitives.trellis import TRELLIS_256, Trellis
from compress.errors import PassError
from compress.quantization.assignment import LayerArrays, assign_entries, assign_levels
from compress.quantization.codebooks import FEEDBACK_MARGIN, CodebookOptions, merge_rounded, refit_entries, zero_first
from compress.quantization.rate_distortion import SymbolBits
from compress.quantization.step_sizes import (
    Exponents,
    Floats,
    bias_exponent,
    codebook_row_exponents,
    relative_steps,
    step_exponents,
    steps_by_magnitude,
)
from compress.runtime.mapped_arrays import release_pages
from compress.tensors.forms import FloatName, Shared
from compress.tensors.kernel_transform import KERNEL_SIDE, coefficients_from_kernels
from compress.tensors.levels import MAX_FLOAT16_LEVELS, levels_codebook, levels_to_symbols
from compress.tensors.scales import weight_scales

_TRELLIS_STEP_RATIO = 0.5 * 10 ** (1.46 / 20)
"""Step along a trellis relative to a plain step: half, because each quantizer has every second level, and wider by the
1.46 dB that the trellis gains."""

_MAX_LEVEL = 2**14

Number = TypeVar("Number", bound=np.generic)


class _CodebookStart(NamedTuple):
    """A codebook before the first assignment.

    Attributes:
        exponents: of the scales.
        arrays: the weights and their scales.
        entries: ascending.
        points: shape (n,), unpruned weights divided by their scales.
        cost: shape (n,), of a squared error of 1 in each point.
    """

    exponents: tuple[Exponents, Exponents, None]
    arrays: LayerArrays
    entries: Floats
    points: Floats
    cost: Floats

    def price(self, lambda_: float) -> float:
        """Return `divergence + lambda * bits` of the nearest entries, nats."""
        nearest = np.searchsorted((self.entries[1:] + self.entries[:-1]) / 2, self.points)
        divergence = 0.5 * float(np.square(self.points - self.entries[nearest]) @ self.cost)
        counts = np.bincount(nearest, minlength=len(self.entries))
        return divergence + lambda_ * float(counts @ ideal_bits(counts + UNSEEN_COUNT))


@dataclass(frozen=True, eq=False)
class LayerQuantizer:
    """Quantizes the weights of one layer.

    Attributes:
        name: of the tensor.
        weights: float32, shape (rows, columns, ...).
        mask: bool, the same shape; False where a weight is pruned.
        row_fisher: shape (rows,), `LayerStatistics.row_fisher`.
        inverse_cholesky: float32, `LayerStatistics.row_inverse_cholesky`, its columns in the order of quantization. May
            be a mapped array; each method releases its pages.
        correlation_factor: `LayerStatistics.correlation_inverse_cholesky`.
        kernel_transform: quantize the transform coefficients of 3x3 kernels instead of the weights.
        bias_fisher: shape (rows,), `LayerStatistics.bias_fisher`.
        channel_order: int64, shape (input channels,), order of quantization: errors are fed to later channels. None: as
            in the tensor.
    """

    name: str
    weights: NDArray[np.float32]
    mask: NDArray[np.bool_]
    row_fisher: Floats
    inverse_cholesky: NDArray[np.float32]
    correlation_factor: Floats | None = None
    kernel_transform: bool = False
    bias_fisher: Floats | None = None
    channel_order: NDArray[np.int64] | None = None

    def predicted_divergence(self, stored: NDArray[np.float32]) -> float:
        """Return the divergence that the statistics predict for stored weights, nats."""
        whitened = self._as_matrix(self.weights - stored)[:, self._column_order]
        group_of_row = row_groups(len(whitened), len(self.inverse_cholesky))
        for group, triangle in enumerate(self.inverse_cholesky):
            rows = group_of_row == group
            factor = upper(triangle).T.astype(np.float64)
            whitened[rows] = solve_triangular(factor, whitened[rows].T, lower=True).T
        release_pages(self.inverse_cholesky)
        whitened *= np.sqrt(self.row_fisher)[:, None]
        if self.correlation_factor is not None:
            whitened = solve_triangular(self.correlation_factor.T, whitened, lower=True)
        return 0.5 * float(np.square(whitened).sum())

    @property
    def relative_steps(self) -> Floats:
        """`step_sizes.relative_steps` of the layer, columns in the order of the tensor."""
        steps = relative_steps(self.row_fisher, diagonals(self.inverse_cholesky)[:, np.argsort(self._column_order)])
        release_pages(self.inverse_cholesky)
        return steps

    @property
    def channels_in_order(self) -> NDArray[np.int64]:
        """`channel_order`, shape (input channels,)."""
        return np.arange(self.weights.shape[1]) if self.channel_order is None else self.channel_order

    def with_scaled_channels(
        self, weights: NDArray[np.float32], row_factors: Floats, column_factors: Floats
    ) -> LayerQuantizer:
        """Return the layer after channel scaling. Divides `inverse_cholesky` in place to save memory.

        Args:
            weights: the scaled weights.
            row_factors: shape (rows,), multiplied into the rows.
            column_factors: shape (input channels,), divided out of the columns.
        """
        factors = np.repeat(column_factors, self._taps)[self._column_order].astype(np.float32)
        self.inverse_cholesky[...] /= packed(np.broadcast_to(factors, (len(factors), len(factors))))
        release_pages(self.inverse_cholesky)
        bias_fisher = None if self.bias_fisher is None else self.bias_fisher / row_factors**2
        return replace(self, weights=weights, row_fisher=self.row_fisher / row_factors**2, bias_fisher=bias_fisher)

    def quantize(self, lambda_: float, trellis: Trellis | None, iterations: int, symbol_bits: SymbolBits) -> Shared:
        """Return the layer on levels: a codebook of integers, and steps as scales.

        Args:
            lambda_: nats a bit.
            trellis: for the levels of each column; None: every weight takes any level.
            iterations: how often levels are assigned; each time their frequencies determine the next rates. All but the
                last use `TRELLIS_256`, which gives nearly the same frequencies in a sixteenth of the time.
            symbol_bits: price of the levels. Along a trellis they take ideal bits.
        Raises:
            PassError: the layer needs more levels than the file format allows.
        """
        ratio = 1.0 if trellis is None else _TRELLIS_STEP_RATIO
        exponents = step_exponents(
            self.relative_steps, self.weights.shape, lambda_, ratio, kernel_transform=self.kernel_transform
        )
        arrays = self._arrays(exponents)
        max_level = int(np.abs(arrays.target / arrays.scale).max(initial=0)) + FEEDBACK_MARGIN
        if max_level > _MAX_LEVEL:
            problem = (
                f"lambda {lambda_:g} needs {2 * max_level + 1:,} levels, at most {2 * _MAX_LEVEL + 1:,} are possible"
            )
            raise PassError(f"{problem}; take a larger lambda", tensor=self.name)
        # Coefficients of a kernel differ in magnitude, so each has its own frequencies.
        classes = KERNEL_SIDE**2 if self.kernel_transform else 1
        if trellis is None:
            entries = np.arange(-max_level, max_level + 1, dtype=np.float64)
            class_of_column = np.arange(arrays.target.shape[1]) % classes
            rate_cost = np.zeros((classes, len(entries)))  # frequencies are unknown in the first iteration
            for _ in range(iterations):
                indices, _, counts = assign_entries(arrays, rate_cost, class_of_column, entries)
                bits = [symbol_bits(count[None], max_level) for count in counts]
                rate_cost = lambda_ * np.concatenate(bits)
            levels = indices - max_level
        else:
            rate_cost = np.zeros((classes, 2, max_level // 2 * 2 + 3))
            for iteration_trellis in [TRELLIS_256] * (iterations - 1) + [trellis]:
                levels, counts = assign_levels(arrays, rate_cost, iteration_trellis)
                rate_cost = lambda_ * ideal_bits(counts + UNSEEN_COUNT)
        release_pages(self.inverse_cholesky)
        return shared_levels(self._in_tensor_order(levels), *exponents)

    def share(self, lambda_: float, options: CodebookOptions, symbol_bits: SymbolBits, seed: int) -> Shared:
        """Return the layer on a codebook: entries from k-means, assigned by rate and distortion, and refitted.

        Each iteration assigns entries at prices from the last frequencies. It then moves each to the mean of the values
        that it stands for, weighted by the cost of an error: k-means with a price for bits. The weights of an entry
        share the price of its place in the codebook, so that entries that cost more than they save get no weights.
        The last iteration first rounds the entries to their precision in the file, and moves none. Unused entries are
        left out.

        Args:
            lambda_: nats a bit.
            options: of the codebook.
            symbol_bits: price of the entries.
            seed: of `k-means++`.
        Raises:
            PassError: an entry is too large for the precision.
        """
        relative = self.relative_steps
        start, *others = self._codebook_starts(relative, lambda_, options, seed)
        if options.is_scarce(start.points):
            steps = steps_by_magnitude(relative, self._as_matrix(self.weights), self._taps)
            others += self._codebook_starts(steps, lambda_, options, seed)
            start = min(start, *others, key=lambda each: each.price(lambda_))
        exponents, arrays, entries, cost = start.exponents, start.arrays, start.entries, start.cost
        mask = arrays.mask
        channels = self.weights.shape[1]
        classes = channels if has_columns(channels, len(entries), self.weights.size) else 1
        class_of_column = self._column_order // self._taps % classes
        counts = np.zeros((classes, len(entries)), np.int64)
        for iteration in range(options.iterations):
            is_last = iteration == options.iterations - 1
            if is_last:
                entries, counts = merge_rounded(entries, counts, options.stored_as, self.name)
            rate_cost = np.zeros(counts.shape)  # frequencies are unknown in the first iteration
            if iteration > 0:
                bits = symbol_bits(counts, int(np.searchsorted(entries, 0)))
                rate_cost = lambda_ * (bits + options.entry_bits / (counts.sum(0) + UNSEEN_COUNT) * (entries != 0))
            indices, approximated, counts = assign_entries(arrays, rate_cost, class_of_column, entries)
            if not is_last:
                entries = refit_entries(entries, indices[mask], approximated[mask], cost)
                order = np.argsort(entries, kind="stable")
                entries, counts = entries[order], counts[:, order]
        release_pages(self.inverse_cholesky)
        used = counts.any(0) | (entries == 0)
        codebook, symbols = zero_first(entries[used], (np.cumsum(used) - 1)[indices])
        return Shared(codebook, self._in_tensor_order(symbols), options.stored_as, *exponents)

    def _codebook_starts(
        self, steps: Floats, lambda_: float, options: CodebookOptions, seed: int
    ) -> list[_CodebookStart]:
        """Return the ways to begin a codebook for weights divided by steps, in octaves."""
        rows, columns, _ = step_exponents(steps, self.weights.shape, lambda_)
        max_scaled = np.abs(self.weights / weight_scales(self.weights.ndim, rows, columns)).max(initial=0)
        exponents = codebook_row_exponents(rows, float(max_scaled)), columns, None
        arrays = self._arrays(exponents)
        group = row_groups(len(arrays.target), len(self.inverse_cholesky))
        cost = (self.row_fisher[:, None] * (arrays.scale / diagonals(self.inverse_cholesky)[group]) ** 2)[arrays.mask]
        points = (arrays.target / arrays.scale)[arrays.mask]
        return [
            _CodebookStart(exponents, arrays, entries, points, cost)
            for entries in options.first_entries(points, cost, seed)
        ]

    def _arrays(self, exponents: tuple[Exponents, Exponents, Exponents | None]) -> LayerArrays:
        """Return the weights and their scales, columns in the order of quantization."""
        shape, order = self.weights.shape, self._column_order
        target = self._as_matrix(self.weights)
        steps = np.broadcast_to(weight_scales(len(shape), *exponents), shape)
        scale = steps.reshape(target.shape).astype(np.float64)
        ordered = target[:, order], self.mask.reshape(target.shape)[:, order], scale[:, order]
        return LayerArrays(*ordered, self.row_fisher, self.inverse_cholesky, self.correlation_factor)

    def _in_tensor_order(self, ordered: NDArray[Number]) -> NDArray[Number]:
        """Return a matrix of columns in the order of quantization as a tensor."""
        values = np.empty_like(ordered)
        values[:, self._column_order] = ordered
        return values.reshape(self.weights.shape)

    @property
    def _taps(self) -> int:
        """Number of weights of one kernel."""
        return int(self.weights[0, 0].size)

    @property
    def _column_order(self) -> NDArray[np.int64]:
        """Order of quantization of the columns: all taps of one input channel, then all taps of the next."""
        order: NDArray[np.int64] = (self.channels_in_order[:, None] * self._taps + np.arange(self._taps)).ravel()
        return order

    def _as_matrix(self, weights: NDArray[np.float32]) -> Floats:
        """Return weights, or their kernel coefficients, as float64, shape (rows, columns)."""
        values = coefficients_from_kernels(weights) if self.kernel_transform else weights.astype(np.float64)
        return values.reshape(len(weights), -1)


def quantize_biases(biases: NDArray[np.float32], bias_fisher: Floats, lambda_: float) -> Shared | None:
    """Return the biases of a layer, shape (rows,), on levels with one step; None if levels are too coarse for them.

    Args:
        biases: shape (rows,).
        bias_fisher: shape (rows,), nats.
        lambda_: nats a bit.
    """
    exponent = bias_exponent(biases, bias_fisher, lambda_)
    if exponent is None:
        return None
    exponents = np.full(len(biases), exponent, dtype=np.int8)
    steps = weight_scales(1, exponents, None).astype(np.float64)
    return shared_levels(np.rint(biases.astype(np.float64) / steps).astype(np.int32), exponents, None)


def shared_levels(
    levels: NDArray[np.int32],
    row_exponents: Exponents,
    column_exponents: Exponents | None,
    coefficient_exponents: Exponents | None = None,
) -> Shared:
    """Return the shared tensor of levels times their steps. The codebook ends at the largest level used."""
    symbols = levels_to_symbols(levels)
    entries = int(symbols.max(initial=0)) + 1
    stored_as: FloatName = "float16" if entries <= MAX_FLOAT16_LEVELS else "float32"
    exponents = row_exponents, column_exponents, coefficient_exponents
    return Shared(levels_codebook(entries), symbols, stored_as, *exponents)
