"""Channels multiplied, or put into another order, where they are written and where they are read: no output changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from compress.networks.channel_graph import Link, Weights, by_writer

Factors = Mapping[str, NDArray[np.float64]]
Orders = Mapping[str, NDArray[np.int64]]


def equalising(weights: Weights, found: Iterable[Link]) -> dict[str, NDArray[np.float64]]:
    """Return by which powers of two each layer's channels are to be multiplied, so that weights become alike in size.

    What is written larger is read smaller: where nothing but rectifiers, pools and the like lie between, the outputs
    are the same, as powers of two round nothing. Each channel is scaled to the middle between the largest weight that
    writes it and the largest that reads it; the layers as a whole keep their sizes.

    Args:
        weights: by name, each (rows, columns, ...).
        found: `links` of the network.
    Returns:
        by the writing layer's name, shape (rows,); 1 for channels that are not written or not read.
    Source: Nagel et al. 2019, "Data-free quantization through weight equalization and bias correction",
    arXiv:1906.04721, section 4.1; there for neighbours alone, and by any factor.
    """
    factors: dict[str, NDArray[np.float64]] = {}
    for writer, reading in by_writer(found).items():
        rows = len(weights[writer])
        written, read = _largest(weights[writer], 0), np.zeros(rows)
        for link in reading:
            read = np.maximum(read, _largest(weights[link.reader], 1)[link.first : link.first + rows])
        both = (written > 0) & (read > 0)
        ratio = np.log2(np.divide(read, written, out=np.ones(rows), where=both))
        middle = ratio[both].mean() if both.any() else 0.0
        factors[writer] = np.where(both, np.exp2(np.rint((ratio - middle) / 2)), 1.0)
    return factors


def _largest(values: NDArray[np.float32], axis: int) -> NDArray[np.float64]:
    """Return the largest magnitude of each row (axis 0) or column (axis 1)."""
    found: NDArray[np.float64] = (
        np.abs(np.moveaxis(values, axis, 0)).reshape(values.shape[axis], -1).max(1).astype(float)
    )
    return found


def scaled(
    weights: Weights, biases: Weights, found: Iterable[Link], factors: Factors
) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.float32]]]:
    """Return weights and biases with channels multiplied where they are written, and divided where they are read.

    Args:
        weights: by name, each (rows, columns, ...).
        biases: the same layers' biases, by the weight's name.
        found: `links` of the network.
        factors: by the writing layer's name, shape (rows,); by powers of two nothing is rounded.
    """
    divisors = input_factors(weights, found, factors)
    made = {}
    for name, values in weights.items():
        times = factors.get(name, np.ones(len(values)))[:, None] / divisors[name]
        by_weight = times.reshape(*values.shape[:2], *[1] * (values.ndim - 2))
        made[name] = (values * by_weight).astype(np.float32)
    return made, {
        name: (bias * factors[name]).astype(np.float32) if name in factors else bias for name, bias in biases.items()
    }


def input_factors(weights: Weights, found: Iterable[Link], factors: Factors) -> dict[str, NDArray[np.float64]]:
    """Return by what each layer's input channels are multiplied, by name, shape (columns,); arguments as `scaled`."""
    inputs = {name: np.ones(values.shape[1]) for name, values in weights.items()}
    for link, place in _places(found, factors):
        inputs[link.reader][place] = factors[link.writer]
    return inputs


def input_orders(weights: Weights, found: Iterable[Link], orders: Orders) -> dict[str, NDArray[np.int64]]:
    """Return which input channel of before each layer reads at each place, where channels are put into another order.

    Args:
        weights: by name, each (rows, columns, ...).
        found: `links` of the network.
        orders: by the writing layer's name, shape (rows,): which row of before is at each place.
    Returns:
        by name, shape (columns,).
    """
    inputs = {name: np.arange(values.shape[1], dtype=np.int64) for name, values in weights.items()}
    for link, place in _places(found, orders):
        inputs[link.reader][place] = link.first + orders[link.writer]
    return inputs


def _places(found: Iterable[Link], changed: Factors | Orders) -> Iterator[tuple[Link, slice]]:
    """Yield the links of writers that are changed, and where among what the reader reads their channels are."""
    for link in found:
        if link.writer in changed:
            yield link, slice(link.first, link.first + len(changed[link.writer]))
