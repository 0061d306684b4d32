"""Cross-layer scaling and permutation of channels: the network's outputs do not change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from compress.networks.channel_graph import ChannelLink, Weights

Factors = Mapping[str, NDArray[np.float64]]
Permutations = Mapping[str, NDArray[np.int64]]


def scale_channels(
    weights: Weights, biases: Weights, factors: Factors, inputs: Factors
) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.float32]]]:
    """Return weights and biases with each layer's rows multiplied and its columns divided by factors.

    Args:
        weights: by name, shape (rows, columns, ...).
        biases: by the weight's name.
        factors: of a layer's rows, by name, shape (rows,); a missing factor is one.
        inputs: `input_factors`.
    """
    scaled = {}
    for name, values in weights.items():
        scale = factors.get(name, np.ones(len(values)))[:, None] / inputs[name]
        scaled[name] = (values * scale.reshape(*values.shape[:2], *[1] * (values.ndim - 2))).astype(np.float32)
    scaled_biases = {name: (bias * factors.get(name, 1.0)).astype(np.float32) for name, bias in biases.items()}
    return scaled, scaled_biases


def input_factors(weights: Weights, links: Iterable[ChannelLink], factors: Factors) -> dict[str, NDArray[np.float64]]:
    """Return the factors of each layer's input channels, shape (columns,), from its writers' `factors`."""
    inputs = {name: np.ones(values.shape[1]) for name, values in weights.items()}
    for link, columns in _read_columns(links, factors):
        inputs[link.reader][columns] = factors[link.writer]
    return inputs


def input_permutations(
    weights: Weights, links: Iterable[ChannelLink], permutations: Permutations
) -> dict[str, NDArray[np.int64]]:
    """Return each layer's old column at each new column, from the writers' old row at each new row."""
    inputs = {name: np.arange(values.shape[1], dtype=np.int64) for name, values in weights.items()}
    for link, columns in _read_columns(links, permutations):
        inputs[link.reader][columns] = link.offset + permutations[link.writer]
    return inputs


def _read_columns(links: Iterable[ChannelLink], changed: Factors | Permutations) -> Iterator[tuple[ChannelLink, slice]]:
    """Yield each link from a changed writer, and the reader's columns."""
    for link in links:
        if link.writer in changed:
            yield link, slice(link.offset, link.offset + len(changed[link.writer]))
