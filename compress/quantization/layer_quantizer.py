"""Quantization of one layer: uniform levels at the steps that lambda asks for."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from compress.calibration.layer_statistics import row_groups
from compress.calibration.packed_triangular import diagonals, packed, upper
from compress.codecs.primitives.trellis import NO_TRELLIS, TRELLIS_256, Trellis
from compress.errors import PassError
from compress.quantization.rate_distortion import rate_costs
from compress.quantization.step_sizes import Exponents, Floats, bias_exponent, relative_steps, step_exponents
from compress.quantization.trellis_search import assign_levels
from compress.tensors.forms import FloatName, Shared
from compress.tensors.kernel_transform import KERNEL_SIDE, coefficients_from_kernels
from compress.tensors.levels import MAX_FLOAT16_LEVELS, levels_codebook, levels_to_symbols
from compress.tensors.scales import weight_scales

_TRELLIS_STEP_RATIO = 0.5 * 10 ** (1.46 / 20)
"""Step along a trellis relative to a plain step: half, because each quantizer has every second level, and wider by the
1.46 dB that the trellis gains."""

_MAX_LEVEL = 2**14

_FEEDBACK_MARGIN = 16
"""Levels beyond the largest weight. Error feedback moves a weight by a few steps."""

_UNSEEN_COUNT = 0.5
"""Frequency of a level that no weight took."""


@dataclass(frozen=True, eq=False)
class LayerQuantizer:
    """Quantizes the weights of one layer.

    Attributes:
        name: of the tensor.
        weights: float32, shape (rows, columns, ...).
        mask: bool, the same shape; False where a weight is pruned.
        row_fisher: shape (rows,), `LayerStatistics.row_fisher`.
        inverse_cholesky: float32, `LayerStatistics.row_inverse_cholesky`, its columns in the order of quantization.
        correlation_factor: `LayerStatistics.correlation_inverse_cholesky`.
        kernel_transform: quantize the transform coefficients of 3x3 kernels instead of the weights.
        bias_fisher: shape (rows,), `LayerStatistics.bias_fisher`.
        channel_order: int64, shape (input channels,), the order in which input channels are quantized. Errors are fed
            to later channels. None: in the order of the tensor.
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
        whitened *= np.sqrt(self.row_fisher)[:, None]
        if self.correlation_factor is not None:
            whitened = solve_triangular(self.correlation_factor.T, whitened, lower=True)
        return 0.5 * float(np.square(whitened).sum())

    @property
    def relative_steps(self) -> Floats:
        """`step_sizes.relative_steps` of the layer, columns in the order of the tensor."""
        return relative_steps(self.row_fisher, diagonals(self.inverse_cholesky)[:, np.argsort(self._column_order)])

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
        bias_fisher = None if self.bias_fisher is None else self.bias_fisher / row_factors**2
        return replace(self, weights=weights, row_fisher=self.row_fisher / row_factors**2, bias_fisher=bias_fisher)

    def quantize(self, lambda_: float, trellis: Trellis, iterations: int) -> Shared:
        """Return the layer on levels: a codebook of integers, and steps as scales.

        Args:
            lambda_: nats a bit.
            trellis: for the levels of each column, or `NO_TRELLIS`.
            iterations: how often levels are assigned; each time their frequencies determine the next rates. All but the
                last use the coarse trellis: it gives nearly the same frequencies in a sixteenth of the time.
        Raises:
            PassError: the layer needs more levels than the file format allows.
        """
        shape = self.weights.shape
        target = self._as_matrix(self.weights)
        ratio = 1.0 if trellis is NO_TRELLIS else _TRELLIS_STEP_RATIO
        exponents = step_exponents(self.relative_steps, shape, lambda_, ratio, kernel_transform=self.kernel_transform)
        steps = np.broadcast_to(weight_scales(len(shape), *exponents), shape)
        scale = steps.reshape(target.shape).astype(np.float64)
        max_level = int(np.abs(target / scale).max(initial=0)) + _FEEDBACK_MARGIN
        if max_level > _MAX_LEVEL:
            problem = (
                f"lambda {lambda_:g} needs {2 * max_level + 1:,} levels, at most {2 * _MAX_LEVEL + 1:,} are possible"
            )
            raise PassError(f"{problem}; take a larger lambda", tensor=self.name)
        order = self._column_order
        arrays = target[:, order], self.mask.reshape(target.shape)[:, order], scale[:, order]
        ordered = self._assign_levels(*arrays, lambda_, trellis, iterations, max_level)
        levels = np.empty_like(ordered)
        levels[:, order] = ordered
        return shared_levels(levels.reshape(shape), *exponents)

    @property
    def _taps(self) -> int:
        """Number of weights of one kernel."""
        return int(self.weights[0, 0].size)

    @property
    def _column_order(self) -> NDArray[np.int64]:
        """The order in which columns are quantized: all taps of one input channel, then those of the next."""
        order: NDArray[np.int64] = (self.channels_in_order[:, None] * self._taps + np.arange(self._taps)).ravel()
        return order

    def _as_matrix(self, weights: NDArray[np.float32]) -> Floats:
        """Return weights, or their kernel coefficients, as float64, shape (rows, columns)."""
        values = coefficients_from_kernels(weights) if self.kernel_transform else weights.astype(np.float64)
        return values.reshape(len(weights), -1)

    def _assign_levels(
        self,
        target: Floats,
        mask: NDArray[np.bool_],
        scale: Floats,
        lambda_: float,
        trellis: Trellis,
        iterations: int,
        max_level: int,
    ) -> NDArray[np.int32]:
        # Without a trellis all levels are even: half the scale, and half of each level.
        factor, max_index = (2, max_level) if trellis is NO_TRELLIS else (1, max_level // 2 + 1)
        # Coefficients of a kernel differ in magnitude, so each has its own frequencies.
        classes = KERNEL_SIDE**2 if self.kernel_transform else 1
        rate_cost = np.zeros((classes, 2, 2 * max_index + 1))  # frequencies are unknown in the first iteration
        for iteration_trellis in [coarse_trellis(trellis)] * (iterations - 1) + [trellis]:
            levels, counts = assign_levels(
                target, mask, scale / factor, self.row_fisher, self.inverse_cholesky, rate_cost,
                self.correlation_factor, iteration_trellis,
            )  # fmt: skip
            rate_cost = rate_costs(counts + _UNSEEN_COUNT, lambda_)
        return levels // factor


def coarse_trellis(trellis: Trellis) -> Trellis:
    """Return a trellis of at most 256 states, for levels that are not final."""
    return min(trellis, TRELLIS_256, key=lambda candidate: len(candidate.quantizer))


def quantize_biases(biases: NDArray[np.float32], bias_fisher: Floats, lambda_: float) -> Shared:
    """Return the biases of a layer, shape (rows,), on levels with one step.

    Args:
        biases: shape (rows,).
        bias_fisher: shape (rows,), nats.
        lambda_: nats a bit.
    """
    exponents = np.full(len(biases), bias_exponent(biases, bias_fisher, lambda_, _MAX_LEVEL // 2), dtype=np.int8)
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
