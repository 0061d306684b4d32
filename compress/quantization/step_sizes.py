"""Step sizes of rows, columns and kernel coefficients, from the cost of an error in each weight.

A scale is a power of 2 ** (1 / 4), stored as an exponent in quarters of an octave.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.calibration.layer_statistics import row_groups
from compress.tensors.kernel_transform import KERNEL_SIDE
from compress.tensors.scales import SCALE_STEPS_PER_OCTAVE

Floats = NDArray[np.float64]
Exponents = NDArray[np.int8]

OPTIMAL_STEP_COST = 12 / math.log(2)
"""Cost of an error times the squared step, divided by lambda, at the optimal step.

At high rate the divergence is `cost / 2 * step ** 2 / 12`. One bit less doubles the step, so the divergence changes by
`2 * ln(2)` times itself per bit. At the optimum this change equals lambda.
"""

_MIN_BIAS_FISHER = 1e-300
"""Fisher information, nats, of biases that no photo reaches: its inverse is finite."""

_MIN_BIAS_STEP = 2.0**-30
"""Smallest step of biases."""

_MAX_BIAS_LEVEL = 2**13

_MAX_STEP_RATIO = 5.0
"""Largest step of biases relative to the optimal one. Beyond, its errors cost more than the bits of float32."""

_MAGNITUDE_SHARE = 0.75
"""Share of the magnitudes in the steps of a codebook with fewer entries than the optimal steps need."""

_MAX_CODEBOOK_ENTRY = 1024.0
"""Limit of weights divided by their scales: below it, float16 has 11 significant bits down to 2 ** -24 of it."""


def step_exponents(
    relative: Floats, shape: tuple[int, ...], lambda_: float, ratio: float = 1.0, *, kernel_transform: bool = False
) -> tuple[Exponents, Exponents, Exponents | None]:
    """Return the exponents of the optimal steps for rows, columns and kernel coefficients.

    Args:
        relative: `relative_steps` of the layer.
        shape: of the tensor.
        lambda_: nats a bit.
        ratio: multiplies all steps.
        kernel_transform: return exponents of kernel coefficients, shape (3, 3), too; else None.
    """
    octaves = np.log2(ratio) + np.log2(OPTIMAL_STEP_COST * lambda_) / 2 + relative
    rows = _clip_to_int8(_to_exponents(octaves.mean(1)))
    # Columns absorb the rounding and clipping of the rows, which is the same in all rows if the rows are equal.
    column_octaves = octaves.reshape(len(octaves), shape[1], -1).mean((0, 2))
    columns = _spread_exponents(column_octaves - rows.mean() / SCALE_STEPS_PER_OCTAVE)
    coefficients = None
    if kernel_transform:
        coefficient_octaves = octaves.reshape(-1, KERNEL_SIDE, KERNEL_SIDE).mean(0)
        coefficients = _clip_to_int8(_to_exponents(coefficient_octaves - coefficient_octaves.mean()))
    return rows, _clip_to_int8(columns), coefficients


def codebook_row_exponents(rows: Exponents, max_scaled: float) -> Exponents:
    """Return row exponents under which float16 holds the entries of a codebook.

    `max_scaled` is the largest magnitude of a weight divided by its scale under the optimal exponents, `rows`.
    """
    if max_scaled <= _MAX_CODEBOOK_ENTRY:
        return rows
    raised = math.ceil(SCALE_STEPS_PER_OCTAVE * math.log2(max_scaled / _MAX_CODEBOOK_ENTRY))
    return _clip_to_int8(rows.astype(np.int32) + raised)


def relative_steps(row_fisher: Floats, diagonals: NDArray[np.floating[Any]]) -> Floats:
    """Return the optimal steps in octaves, up to a constant that depends on lambda, shape (rows, columns).

    Args:
        row_fisher: shape (rows,), `LayerStatistics.row_fisher`.
        diagonals: of the inverse Cholesky factors, shape (groups, columns).
    """
    column_octaves = np.log2(diagonals, dtype=np.float64)[row_groups(len(row_fisher), len(diagonals))]
    row_octaves = -np.log2(np.maximum(row_fisher, np.finfo(np.float64).tiny)) / 2
    steps: Floats = row_octaves[:, None] + column_octaves
    return steps


def steps_by_magnitude(relative: Floats, weights: Floats, taps: int) -> Floats:
    """Return steps for a codebook with few entries, in octaves, shape (rows, columns).

    With optimal steps, rows where errors are expensive take most entries of the codebook and the other rows few. So
    steps that follow the magnitudes of rows and input channels, in part, make errors smaller where entries are scarce.

    Args:
        relative: `relative_steps` of the layer.
        weights: shape (rows, columns); pruned weights are 0.
        taps: number of adjacent columns that have a step in common.
    """
    row_power = _mean_square(weights, 1)
    channels = (weights / np.sqrt(row_power)[:, None]).reshape(len(weights), -1, taps)
    column_power = np.repeat(_mean_square(channels, (0, 2)), taps)
    magnitudes = (np.log2(row_power)[:, None] + np.log2(column_power)) / 2
    magnitudes += relative.mean() - magnitudes.mean()
    steps: Floats = _MAGNITUDE_SHARE * magnitudes + (1 - _MAGNITUDE_SHARE) * relative
    return steps


def _mean_square(weights: Floats, axis: int | tuple[int, ...]) -> Floats:
    """Return the mean square of the weights that are not 0 along axes; where all are 0, that of all others."""
    squares, used = np.square(weights).sum(axis), np.count_nonzero(weights, axis)
    mean = squares.sum() / max(int(used.sum()), 1) or 1.0
    powers: Floats = np.divide(squares, used, out=np.full(used.shape, mean), where=used > 0)
    return powers


def bias_exponent(biases: NDArray[np.float32], bias_fisher: Floats, lambda_: float) -> np.int8 | None:
    """Return the exponent of the step for all biases of a layer; None if levels are too coarse for them.

    The number of levels limits the step from below. None where biases need far smaller steps, as with a large offset
    that all have in common, and where all biases are tiny.

    Args:
        biases: shape (rows,).
        bias_fisher: shape (rows,), nats.
        lambda_: nats a bit.
    """
    largest = float(np.abs(biases).max(initial=0))
    optimal = math.sqrt(OPTIMAL_STEP_COST * lambda_ / max(float(bias_fisher.mean()), _MIN_BIAS_FISHER))
    step = max(optimal, largest / _MAX_BIAS_LEVEL, _MIN_BIAS_STEP)
    if largest > 0 and (step > _MAX_STEP_RATIO * optimal or largest < 64 * _MIN_BIAS_STEP):
        return None
    exponent: np.int8 = _clip_to_int8(_to_exponents(np.log2(np.array([step]))))[0]
    return exponent


def _to_exponents(octaves: Floats) -> NDArray[np.int32]:
    exponents: NDArray[np.int32] = np.rint(SCALE_STEPS_PER_OCTAVE * octaves).astype(np.int32)
    return exponents


def _clip_to_int8(exponents: NDArray[np.int32]) -> Exponents:
    return np.clip(exponents, -127, 127).astype(np.int8)


def _spread_exponents(octaves: Floats) -> NDArray[np.int32]:
    """Return the nearest exponents; if all steps are equal, round some down and some up.

    Otherwise all columns of such a layer would change their step at the same lambda, by a quarter of an octave, and the
    file size would jump.
    """
    steps = SCALE_STEPS_PER_OCTAVE * octaves
    width = max(0.0, 1.0 - float(np.ptp(steps)))
    ramp = (np.arange(len(steps)) + 0.5) / len(steps) - 0.5
    exponents: NDArray[np.int32] = np.rint(steps + width * ramp).astype(np.int32)
    return exponents
