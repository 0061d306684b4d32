"""A path through a trellis of four states: the state decides which quantizer applies to the next weight.

Source: Marcellin & Fischer 1990, "Trellis coded quantization of memoryless and Gauss-Markov sources".
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from compress.codecs.primitives.trellis import Trellis, shift_register_trellis

_LAYER = "features.6.squeeze.weight"
_WEIGHTS = 16
_TRELLIS = shift_register_trellis(4, 0b10, 0b01)
_SUBSETS = ("even levels", "odd levels and zero")


def draw(weights: Mapping[str, NDArray[np.float64]]) -> Figure:
    """Draw the chosen levels of the first weights of a row, and the path of their states."""
    values = weights[_LAYER][0, :_WEIGHTS]
    step = float(weights[_LAYER].std())
    states, levels = _viterbi(values / step, _TRELLIS)
    figure = Figure(figsize=(9, 4.4))
    upper, lower = figure.subplots(2, 1, sharex=True)
    _draw_levels(upper, values / step, states, levels)
    _draw_states(lower, states)
    return figure


def _viterbi(values: NDArray[np.float64], trellis: Trellis) -> tuple[list[int], list[int]]:
    """Return the path of states with the smallest squared error from state 0, and the levels along it."""
    best: dict[int, tuple[float, list[int], list[int]]] = {0: (0.0, [0], [])}
    for value in values:
        survivors: dict[int, tuple[float, list[int], list[int]]] = {}
        for state, (cost, path, levels) in best.items():
            for index in range(-4, 5):
                quantizer = trellis.quantizer[state]
                level = 2 * index - quantizer * int(np.sign(index))
                following = int(trellis.next_state[state, index % 2])
                total = cost + (value - level) ** 2
                if following not in survivors or total < survivors[following][0]:
                    survivors[following] = (total, [*path, following], [*levels, level])
        best = survivors
    _, path, levels = min(best.values())
    return path, levels


def _draw_levels(axes: Axes, values: NDArray[np.float64], states: list[int], levels: list[int]) -> None:
    quantizers = _TRELLIS.quantizer[states[:-1]]
    for number, quantizer in enumerate(quantizers):
        allowed = [level for level in range(-4, 5) if level == 0 or level % 2 == quantizer]
        axes.plot([number] * len(allowed), allowed, "_", color=f"C{quantizer}", markersize=12)
    axes.plot(values, "kx", label="weight / step")
    axes.plot(levels, "o", fillstyle="none", color="k", label="chosen level")
    for quantizer, subset in enumerate(_SUBSETS):
        axes.plot([], [], "_", color=f"C{quantizer}", label=f"quantizer {quantizer}: {subset}")
    axes.set(title="Levels that the states allow", ylabel="level")
    axes.legend(ncols=4, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, -0.3))


def _draw_states(axes: Axes, states: list[int]) -> None:
    for number in range(len(states) - 1):
        for state in range(4):
            for parity, following in enumerate(_TRELLIS.next_state[state]):
                axes.plot([number, number + 1], [state, following], ":-"[parity], color="0.85", linewidth=0.8)
    axes.plot(states, "k.-")
    axes.set(
        title="The best path through the states", xlabel="weight", ylabel="state", yticks=range(4), ylim=(3.4, -0.4)
    )
    axes.grid(visible=False)
