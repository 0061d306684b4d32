"""Later weights of a row compensate for the errors of earlier ones.

Source: Hassibi & Stork 1993, "Second order derivatives for network pruning: optimal brain surgeon"; Frantar et al. 2022
(GPTQ), arXiv:2210.17323.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from compress.data.package_files import package_file

_LAYER = "features.0.weight"


def draw(weights: Mapping[str, NDArray[np.float64]]) -> Figure:
    """Draw the correlation of the first layer's inputs, and the error of its outputs with and without feedback."""
    rows = weights[_LAYER]
    inputs = _patches(np.asarray(Image.open(package_file("skimage", "data/chelsea.png")), np.float64))
    hessian = inputs.T @ inputs / len(inputs)
    figure = Figure()
    heatmap, curve = figure.subplots(1, 2, width_ratios=(1, 1.4))
    scale = np.sqrt(np.diag(hessian))
    image = heatmap.imshow(hessian / np.outer(scale, scale), vmin=0, vmax=1)
    heatmap.set(title="Correlation of the 27 inputs", xlabel="input", ylabel="input")
    heatmap.grid(visible=False)
    figure.colorbar(image, ax=heatmap, shrink=0.8)

    steps = rows.std() * np.geomspace(0.05, 1, 12)
    for name, quantize in (("nearest level", _round), ("error feedback", _feedback)):
        errors = [np.mean(((quantize(rows, hessian, step) - rows) @ inputs.T) ** 2) for step in steps]
        curve.semilogy(steps / rows.std(), errors, ".-", label=name)
    curve.set(title="Error of the layer's outputs", ylabel="mean squared error")
    curve.set_xlabel("step / standard deviation of the weights")
    curve.legend()
    return figure


def _patches(photo: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the inputs of a 3x3 convolution of stride 2, shape (positions, 27), by channel first."""
    pixels = photo[::2, ::2] - (123.0, 117.0, 104.0)
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (3, 3), axis=(0, 1))[::4, ::4]
    return windows.reshape(-1, 27)


def _round(rows: NDArray[np.float64], hessian: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    return step * np.rint(rows / step)


def _feedback(rows: NDArray[np.float64], hessian: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Quantize column by column; spread each error over the later columns by the inverse Hessian's Cholesky factor."""
    damped = hessian + 1e-4 * np.trace(hessian) / len(hessian) * np.eye(len(hessian))
    factor = np.linalg.cholesky(np.linalg.inv(damped)).T
    remaining, quantized = rows.copy(), np.zeros_like(rows)
    for column in range(rows.shape[1]):
        quantized[:, column] = step * np.rint(remaining[:, column] / step)
        error = (remaining[:, column] - quantized[:, column]) / factor[column, column]
        remaining[:, column:] -= np.outer(error, factor[column, column:])
    return quantized
