"""Frequent indices get short codewords.

Source: Huffman 1952, "A method for the construction of minimum-redundancy codes".
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from compress.codecs.primitives.prefix_code import PrefixCode
from compress.quantization.kmeans import kmeans_centroids

_LAYER = "features.9.expand3x3.weight"
_BITS = 5


def draw(weights: Mapping[str, NDArray[np.float64]]) -> Figure:
    """Draw how often each index of a layer occurs, and the bits of its codeword."""
    values = weights[_LAYER].ravel()
    centroids = kmeans_centroids(values, np.ones(len(values)), 2**_BITS, "linear", 300, seed=0)
    counts = np.bincount(abs(values[:, None] - centroids).argmin(1), minlength=len(centroids))
    lengths = PrefixCode.from_counts(counts).lengths
    share = counts / counts.sum()
    used = share[share > 0]
    entropy, mean = -(used * np.log2(used)).sum(), (used * lengths).sum()
    figure = Figure()
    frequencies, codewords = figure.subplots(1, 2)
    frequencies.bar(np.arange(len(share)), share)
    frequencies.set(title=f"Indices of {_LAYER.removesuffix('.weight')}", xlabel="index", ylabel="frequency")
    codewords.bar(np.flatnonzero(share), lengths, color="C1", alpha=0.6)
    codewords.plot(np.flatnonzero(share), -np.log2(used), "k.", label="$-\\log_2$ frequency")
    codewords.axhline(_BITS, color="C0", linestyle="--", label=f"fixed width, {_BITS} bits")
    codewords.set(
        title=f"Codewords: {mean:.2f} bits on average, entropy {entropy:.2f}",
        xlabel="index",
        ylabel="bits of the codeword",
    )
    codewords.legend()
    return figure
