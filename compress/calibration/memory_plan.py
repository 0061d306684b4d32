"""Memory that the statistics of a network's layers take, and which layers are gathered together within a limit.

All of it follows from shapes. The plan changes time and memory, never the statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from compress.calibration.layer_accumulator import STRIP_ROWS, waiting_photos
from compress.calibration.pass_gradients import Sweep
from compress.calibration.photo_batches import MAX_BATCH_PHOTOS, MAX_PASS_PHOTOS
from compress.calibration.row_block_memory import check_row_length, row_groups_by_layer
from compress.model import Model
from compress.networks.layer_calls import LayerCall, matrix_shape, reached, record_calls, weight_matrices
from compress.networks.modules import to_module, zero_input

_TENSORS_PER_OUTPUT = 4
"""Tensors of the size of a layer's output in a backward pass: the output, a copy, the next operation's, a gradient."""

_FINISHING_MATRICES = 3
"""Matrices of columns x columns in float64 while the sums of a layer are finished."""

_DERIVING_MATRICES = 6
"""Matrices of columns x columns in float64 while inverse Cholesky factors are derived."""

_NETWORK_BYTES = 32
"""Bytes of each weight in copies of the network: float, balanced, compressed, and two torch modules."""

_QUANTIZING_BYTES = 64
"""Bytes of each weight in the arrays of a quantized layer."""

_MEASURING_BYTES = 16
"""Bytes of each weight while the sensitivity of layers is measured: its values, its error, and gradients."""

_MEASURING_PASS_BYTES = 1_000_000_000
"""Limit of the activations and gradients in a pass that measures the sensitivity of layers. The number of passes
changes the rounding, so the limit must not depend on the machine."""


@dataclass(frozen=True)
class LayerMemory:
    """Memory for the statistics of one layer.

    Attributes:
        name: of the weight tensor.
        rows: number of rows of the weight matrix.
        columns: length of a row.
        groups: number of row blocks.
    """

    name: str
    rows: int
    columns: int
    groups: int

    @property
    def sums_bytes(self) -> int:
        """Bytes of the sums over photos, and of the gradients that wait to be added."""
        blocks = self.groups * self.columns * (self.columns + STRIP_ROWS) // 2
        return 4 * (blocks + waiting_photos(self.columns) * self.weights)

    @property
    def finishing_bytes(self) -> int:
        """Bytes to finish the sums, besides `sums_bytes`."""
        return 8 * _FINISHING_MATRICES * self.columns**2

    @property
    def working_bytes(self) -> int:
        """Bytes to derive and use the factors of error feedback, besides the factors, which take `sums_bytes`."""
        return 8 * _DERIVING_MATRICES * self.columns**2 + _QUANTIZING_BYTES * self.weights

    @property
    def weights(self) -> int:
        """Number of weights."""
        return self.rows * self.columns


@dataclass(frozen=True)
class NetworkMemory:
    """Memory for the statistics of a network.

    Attributes:
        layers: of all weight tensors, in the order of the statistics.
        activation_bytes: tensors of a forward and backward pass of the statistics.
    """

    layers: tuple[LayerMemory, ...]
    activation_bytes: int

    @property
    def largest(self) -> LayerMemory:
        """The layer that takes the most memory."""
        return max(self.layers, key=lambda layer: layer.sums_bytes + layer.working_bytes)

    @property
    def gathering_bytes(self) -> int:
        """Bytes besides the sums: copies of the network, and a backward pass or the end of one layer."""
        return self._copies_bytes + max([self.activation_bytes, *(layer.finishing_bytes for layer in self.layers)])

    @property
    def working_bytes(self) -> int:
        """Bytes besides the factors: copies of the network, and work on one layer or on photos after it."""
        return self._copies_bytes + max([self._measuring_bytes, *(layer.working_bytes for layer in self.layers)])

    @property
    def _measuring_bytes(self) -> int:
        """Bytes of a backward pass that measures the sensitivity of layers."""
        photo_bytes = self.activation_bytes // MAX_PASS_PHOTOS
        return photo_bytes * _measuring_photos(photo_bytes) + _MEASURING_BYTES * self._weights

    @property
    def _copies_bytes(self) -> int:
        return _NETWORK_BYTES * self._weights

    @property
    def _weights(self) -> int:
        return sum(layer.weights for layer in self.layers)

    @property
    def minimum_bytes(self) -> int:
        """Bytes to gather the layers one by one."""
        layers = [max(self.activation_bytes, each.working_bytes) + each.sums_bytes for each in self.layers]
        return self._copies_bytes + max([self._measuring_bytes, *layers])

    @property
    def maximum_bytes(self) -> int:
        """Bytes to gather all layers at once."""
        return self.working_bytes + sum(layer.sums_bytes for layer in self.layers)

    def sweeps(self, free_bytes: int) -> list[Sweep]:
        """Return the layers of each sweep over the photos, as many in each as fit into `free_bytes`, one at least."""
        sums_bytes = free_bytes - self.gathering_bytes
        sweeps: list[list[str]] = []
        left = 0
        for layer in self.layers:
            if not sweeps or layer.sums_bytes > left:
                sweeps.append([])
                left = sums_bytes
            sweeps[-1].append(layer.name)
            left -= layer.sums_bytes
        return [frozenset(names) for names in sweeps]


def statistics_memory(model: Model, row_block_bytes: int) -> NetworkMemory:
    """Return `network_memory` of a model's network, on the CPU."""
    return network_memory(to_module(model), zero_input(model.preprocessing), row_block_bytes)


def network_memory(network: nn.Module, photo: Tensor, row_block_bytes: int) -> NetworkMemory:
    """Return the memory for the statistics of a network.

    Args:
        network: in evaluation mode.
        photo: shape (1, channels, height, width); its values do not matter.
        row_block_bytes: memory for all row blocks, as in `accumulate_statistics`.
    Raises:
        PassError: a row is too long for statistics.
    """
    with record_calls(network) as calls:
        logits = network(photo)
    called = {call.weight: matrix_shape(call.layer.weight) for call in calls}
    groups = row_groups_by_layer(called, row_block_bytes)
    others = {name: weight for name, weight in weight_matrices(network).items() if name not in called}
    used = reached(others, logits)
    shapes = {name: matrix_shape(weight) for name, weight in others.items() if name in used} | called
    for name, (_, columns) in shapes.items():
        check_row_length(name, columns)
    layers = tuple(LayerMemory(name, *shape, groups.get(name, 1)) for name, shape in shapes.items())
    return NetworkMemory(layers, MAX_PASS_PHOTOS * _photo_bytes(calls))


def measuring_photos(network: nn.Module, photo: Tensor) -> int:
    """Return how many photos of a batch measure the sensitivity of layers in one pass: all, unless they need over 1 GB.

    Args:
        network: in evaluation mode.
        photo: shape (1, channels, height, width); its values do not matter.
    """
    with torch.no_grad(), record_calls(network) as calls:
        network(photo)
    return _measuring_photos(_photo_bytes(calls))


def _measuring_photos(photo_bytes: int) -> int:
    return min(max(_MEASURING_PASS_BYTES // max(photo_bytes, 1), 1), MAX_BATCH_PHOTOS)


def _photo_bytes(calls: Sequence[LayerCall]) -> int:
    """Return the bytes of a forward and backward pass of one photo."""
    return 4 * _TENSORS_PER_OUTPUT * sum(call.outputs.numel() for call in calls)
