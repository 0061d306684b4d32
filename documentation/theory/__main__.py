"""Draw the figures of docs/theory.md into docs/images: `python -m documentation.theory`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from compress.weights.embedded_weights import EmbeddedWeights
from documentation.theory import (
    context_coding,
    error_feedback,
    huffman,
    pruning,
    rate_distortion,
    sharing,
    trellis,
)

Weights = dict[str, NDArray[np.float64]]

FIGURES: dict[str, Callable[[Weights], Figure]] = {
    "pruning": pruning.draw,
    "sharing": sharing.draw,
    "huffman": huffman.draw,
    "rate-distortion": rate_distortion.draw,
    "error-feedback": error_feedback.draw,
    "trellis": trellis.draw,
    "context-coding": context_coding.draw,
}

_STYLE: dict[Any, Any] = {
    "axes.edgecolor": "#9aa3ab",
    "axes.grid": True,
    "axes.labelcolor": "#59626c",
    "axes.prop_cycle": "cycler(color=['#10606e', '#d9822b', '#6d5a86'])",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "figure.figsize": (9, 3.4),
    "figure.facecolor": "white",  # readable on a dark page too
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "grid.alpha": 0.3,
    "image.cmap": "GnBu",
    "legend.frameon": False,
    "text.color": "#1c2126",
    "xtick.color": "#59626c",
    "ytick.color": "#59626c",
    "svg.hashsalt": "squeeze-compress",  # the same ids each time
}


def load_weights() -> Weights:
    """Return the trained weights by name: each a matrix with a row for each output channel."""
    tensors = EmbeddedWeights().load().tensors
    return {name: np.float64(tensor.to_dense()).reshape(len(tensor.to_dense()), -1) for name, tensor in tensors.items()}


def write_figures(folder: Path) -> None:
    """Write `theory-NAME.svg` for each figure."""
    weights = load_weights()
    with mpl.rc_context(_STYLE):
        for name, draw in FIGURES.items():
            draw(weights).savefig(folder / f"theory-{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images"), help="folder of the figures [docs/images]")
    write_figures(parser.parse_args().out)
