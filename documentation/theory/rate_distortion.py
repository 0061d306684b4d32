"""Levels chosen by squared error plus lambda times bits.

Source: Gish & Pierce 1968, "Asymptotically efficient quantizing"; Sullivan 1996.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from documentation.theory.quantizers import entropy_bits, nearest_levels, rate_distortion_levels

_LAYER = "features.7.expand3x3.weight"
_ASSIGNMENTS = {"nearest level": nearest_levels, "error + lambda * bits": rate_distortion_levels}


def draw(weights: Mapping[str, NDArray[np.float64]]) -> Figure:
    """Draw the curves of bits and error, and which values become zero at one step."""
    values = weights[_LAYER].ravel()
    figure = Figure()
    curve, thresholds = figure.subplots(1, 2)
    for name, assign in _ASSIGNMENTS.items():
        steps = values.std() * np.geomspace(0.7, 6, 16)
        chosen = [assign(values, step) for step in steps]
        errors = [
            np.mean((values - levels * step) ** 2) / values.var() for levels, step in zip(chosen, steps, strict=True)
        ]
        curve.semilogy([entropy_bits(levels) for levels in chosen], errors, ".-", label=name)
    curve.set(title="Error at equal bits", xlabel="entropy, bits per weight", ylabel="squared error / variance")
    curve.legend()

    step, row = 2 * values.std(), np.sort(values)[::50]
    for name, assign in _ASSIGNMENTS.items():
        levels = assign(values, step)[np.argsort(values)][::50]
        thresholds.step(row / step, levels, label=f"{name}: {np.mean(levels == 0):.0%} zeros")
    thresholds.set(
        title="The level of each weight", xlabel="weight / step", ylabel="level", xlim=(-3, 3), ylim=(-3.5, 3.5)
    )
    thresholds.legend()
    return figure
