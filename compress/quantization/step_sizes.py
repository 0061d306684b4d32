"""TODO."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.calibration.layer_statistics import LayerStatistics, group_of_rows
from compress.tensors.kernel_transform import SIDE
from compress.tensors.scales import SCALE_STEPS_PER_OCTAVE, scale_of

Exponents = tuple[NDArray[np.int8], NDArray[np.int8]]

_LARGEST_ENTRY = 1024.0
"""Scaled weights are brought under this: float16 is then exact to 11 bits down to 16 millionths of it."""


def equalising_exponents(values: NDArray[np.float32], statistics: LayerStatistics) -> Exponents:
    """Return row and column exponents under which an error costs about the same in every weight.

    A step in proportion to `cost ** -0.5` is what rate-distortion theory asks of each weight.
    """
    columns = column_exponents(statistics.feedback(), values[0, 0].size)
    rows = as_exponents(-np.log2(np.maximum(statistics.output_cost, np.finfo(np.float64).tiny)) / 2)
    # The level of a layer is its codebook's: the exponents only tell rows and columns apart.
    columns -= int(np.median(columns))
    rows -= int(np.median(rows))
    widest = np.add.outer(rows, columns).reshape(values.shape[:2] + (1,) * (values.ndim - 2))
    largest = float((np.abs(values) / scale_of(widest)).max(initial=0.0))
    if largest > 0:
        rows += int(np.ceil(SCALE_STEPS_PER_OCTAVE * np.log2(largest / _LARGEST_ENTRY)))
    return np.clip(rows, -127, 127).astype(np.int8), np.clip(columns, -127, 127).astype(np.int8)


def column_exponents(factor: NDArray[np.float64], kernel: int) -> NDArray[np.int32]:
    """Return the exponents of `cost ** -0.5` of the input channels.

    A column's cost is what remains of it when later columns make up for its errors; a channel's the mean (of
    logarithms) over the kernel's positions.

    Args:
        factor: `LayerStatistics.feedback()`.
        kernel: its positions.
    """
    return as_exponents(np.log2(np.diag(factor)).reshape(-1, kernel).mean(1))


def as_exponents(octaves: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return the exponents of the scales nearest to powers of two."""
    exponents: NDArray[np.int32] = np.rint(SCALE_STEPS_PER_OCTAVE * octaves).astype(np.int32)
    return exponents


Floats = NDArray[np.float64]

_STEP = 12 / np.log(2)
"""An error's cost times the step squared, over the slope.

At high rate the divergence is `cost / 2 * step ** 2 / 12`, and a bit less doubles the step: the divergence falls by
`2 * ln(2)` of itself a bit, which is to be the slope.
"""


def step_exponents(
    output_cost: Floats,
    diagonals: NDArray[np.floating[Any]],
    shape: tuple[int, ...],
    slope: float,
    factor: float = 1.0,
    *,
    coefficients: bool = False,
) -> tuple[NDArray[np.int8], NDArray[np.int8], NDArray[np.int8] | None]:
    """Return the exponents of the steps, at which a bit saves what it costs, of rows, columns and coefficients.

    Args:
        output_cost: shape (rows,), as in `LayerStatistics`.
        diagonals: of the factors that feed errors forward, shape (groups, columns), as in `LayerStatistics.own`.
        shape: of the tensor.
        slope: nats a bit.
        factor: on all steps.
        coefficients: whether the coefficients of a kernel have exponents of their own, shape (3, 3); else None.
    """
    wanted = np.log2(factor) + np.log2(_STEP * slope) / 2 + relative_steps(output_cost, diagonals)
    rows = as_exponents(wanted.mean(1))
    # Rounding the rows' may leave something to all of them: where they are alike, it does.
    by_column = wanted.reshape(len(wanted), shape[1], -1).mean((0, 2))
    columns = _spread_exponents(by_column - rows.mean() / SCALE_STEPS_PER_OCTAVE)
    of_kernel = None
    if coefficients:
        by_place = wanted.reshape(-1, SIDE, SIDE).mean(0)
        of_kernel = _as_int8(as_exponents(by_place - by_place.mean()))
    return _as_int8(rows), _as_int8(columns), of_kernel


def relative_steps(output_cost: Floats, diagonals: NDArray[np.floating[Any]]) -> Floats:
    """Return the steps that errors ask for, in octaves and but for what the slope adds to all, shape (rows, columns).

    Args:
        output_cost: as in `step_exponents`.
        diagonals: as in `step_exponents`.
    """
    of_rows = -np.log2(np.maximum(output_cost, np.finfo(np.float64).tiny)) / 2
    of_columns = np.log2(diagonals, dtype=np.float64)[group_of_rows(len(output_cost), len(diagonals))]
    steps: Floats = of_rows[:, None] + of_columns
    return steps


def _as_int8(exponents: NDArray[np.int32]) -> NDArray[np.int8]:
    return np.clip(exponents, -127, 127).astype(np.int8)


def _spread_exponents(octaves: Floats) -> NDArray[np.int32]:
    """Return the exponents nearest to powers of two, but where all are alike some below and some above.

    Else a layer whose steps are all the same would change them at once, by a quarter of an octave, and the bytes of the
    file would leap with the slope.
    """
    steps = SCALE_STEPS_PER_OCTAVE * octaves
    alike = max(0.0, 1.0 - float(np.ptp(steps)))
    ramp = (np.arange(len(steps)) + 0.5) / len(steps) - 0.5
    exponents: NDArray[np.int32] = np.rint(steps + alike * ramp).astype(np.int32)
    return exponents


def noise_to_signal(values: NDArray[np.float32], statistics: LayerStatistics, slope: float) -> Floats:
    """Return what is to be added to the moment's diagonal, in parts of its mean, so that no direction is over-served.

    Rounding puts the same divergence, `slope / (2 ln 2)` a weight, into every direction of a row. In one that costs so
    little that leaving the weights out altogether costs less, their errors would outgrow them.

    Args:
        values: shape (rows, ...), the weights.
        statistics: of the layer.
        slope: nats a bit.
    Returns:
        shape (rows,).
    Source: reverse water-filling; Cover & Thomas, "Elements of information theory", section 10.3.3.
    """
    power = np.square(values.reshape(len(values), -1), dtype=np.float64).sum(1)
    noise = slope / math.log(2) * (values[0].size ** 2)
    found: Floats = noise / np.maximum(statistics.output_cost * power, np.finfo(np.float64).tiny)
    return found
