"""Tensors in training: each one's parameter, and the way from there to dense weights and back to the tensor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compress.codecs.primitives.trellis import trellis_of
from compress.errors import PassError
from compress.quantization.codebooks import at_precision
from compress.quantization.trellis_search import nearest_path
from compress.tensors.checks import finite
from compress.tensors.forms import Dense, Pruned, Shared
from compress.tensors.kernel_transform import PATTERNS
from compress.tensors.levels import levels_codebook, zigzag_levels, zigzag_symbols
from compress.training.codebook_lookup import Lookup, Places, as_convolved


class Trained(ABC):
    """A tensor in training.

    Attributes:
        parameter: what the optimiser moves.
        unit: how far a learning rate of 1 moves it, in its own unit.
        squares: for each entry of the parameter, the sum of the squared scales of all weights that it decides; None
            where each decides one weight, and is its value.
    """

    is_dense: ClassVar[bool] = True
    """Whether the parameter is the dense weights, so that a network may have it as its own."""

    def __init__(self, parameter: nn.Parameter, unit: float, squares: Tensor | None = None) -> None:
        self.parameter, self.unit, self.squares = parameter, unit, squares
        self._gone: Tensor | None = None

    def dense(self) -> Tensor:
        """Return the dense weights, which depend on the parameter."""
        return self.parameter

    def hold(self) -> None:
        """Put back, after a step of an optimiser, what it must not have moved."""
        if self._gone is not None:
            with torch.no_grad():
                self.parameter.masked_fill_(self._gone, 0)

    @abstractmethod
    def tensor(self, name: str) -> Dense | Pruned | Shared:
        """Return the tensor as it is to go on."""


def in_training(
    name: str, tensor: Dense | Pruned | Shared, device: torch.device, *, levels: bool, keep_zeros: bool
) -> Trained:
    """Return a tensor in training.

    Args:
        name: of the tensor.
        tensor: what it is before.
        device: where it is trained.
        levels: whether weights on levels may go to other levels; else they stay.
        keep_zeros: whether weights on level zero stay there.
    """
    if isinstance(tensor, Shared) and tensor.has_levels:
        if len(tensor.shape) == 1:
            return _LevelBiases(tensor, device)
        return Levels(tensor, device, keep_zeros) if levels else _Fixed(tensor, device)
    return _Codebook(tensor, device) if isinstance(tensor, Shared) else Values(tensor, device)


def put_into(network: nn.Module, trained: Mapping[str, Trained]) -> dict[str, Trained]:
    """Make parameters that are dense weights the network's own; return the others, which it is to be given.

    Args:
        network: whose weights are trained.
        trained: all of them, by name.
    """
    own = {id(parameter): trained[name] for name, parameter in network.named_parameters() if trained[name].is_dense}
    for module in network.modules():
        for leaf, parameter in list(module.named_parameters(recurse=False)):
            if id(parameter) in own:  # layers that shared a parameter go on sharing it
                setattr(module, leaf, own[id(parameter)].parameter)
    return {name: part for name, part in trained.items() if not part.is_dense}


def _parameter(values: NDArray[np.float32], device: torch.device, *, trained: bool = True) -> nn.Parameter:
    return nn.Parameter(as_convolved(torch.from_numpy(np.array(values, dtype=np.float32))).to(device), trained)


class Values(Trained):
    """Weights or biases trained one by one; pruned ones stay zero."""

    def __init__(self, origin: Dense | Pruned, device: torch.device) -> None:
        values = origin.to_dense()
        unit = float(np.abs(values).mean(dtype=np.float64)) if values.any() else 1.0
        super().__init__(_parameter(values, device), unit)
        self._origin = origin
        if isinstance(origin, Pruned):
            self.prune(origin.mask)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Which weights are not pruned, bool of their shape."""
        return np.ones(self._origin.shape, np.bool_) if self._gone is None else ~_array(self._gone)

    def prune(self, mask: NDArray[np.bool_]) -> None:
        """Set the weights that are not kept to zero, where they stay from now on."""
        self._gone = as_convolved(torch.from_numpy(~mask)).to(self.parameter.device)
        self.hold()

    def pruned(self) -> Pruned:
        """Return the weights by now, and which of them are kept."""
        return Pruned(_array(self.parameter), self.mask)

    def tensor(self, name: str) -> Dense | Pruned:
        values = _array(self.parameter)
        if self._gone is None:
            assert isinstance(self._origin, Dense)
            return at_precision(values, self._origin.stored_as, name)
        finite(values, name)
        if moved := np.count_nonzero(values[~self.mask]):
            raise PassError(f"{moved:,} pruned weights did not stay zero", tensor=name)
        return self.pruned()


class _Fixed(Trained):
    """Weights that stay."""

    def __init__(self, origin: Shared, device: torch.device) -> None:
        super().__init__(_parameter(origin.to_dense(), device, trained=False), 1.0)
        self._origin = origin

    def tensor(self, name: str) -> Shared:
        return self._origin


class _LevelBiases(Trained):
    """Biases on levels: trained as floats, at the end the nearest levels."""

    def __init__(self, origin: Shared, device: torch.device) -> None:
        super().__init__(_parameter(origin.to_dense(), device), float(origin.scale().mean()))
        self._origin = origin

    def tensor(self, name: str) -> Shared:
        values = self.parameter.detach().cpu().numpy().astype(np.float64)
        finite(values.astype(np.float32), name)
        levels = np.rint(self._origin.unscaled(values)).astype(np.int32)
        least, most = int(self._origin.codebook.min()), int(self._origin.codebook.max())
        return replace(self._origin, indices=zigzag_symbols(np.clip(levels, least, most)))


class _Codebook(Trained):
    """Shared values: which weights share one stays, and the gradients of all that do are summed."""

    is_dense = False

    def __init__(self, origin: Shared, device: torch.device) -> None:
        entries = origin.codebook
        unit = float(np.ptp(entries.astype(np.float64))) / (len(entries) - 1) if len(entries) > 1 else 1.0
        powers = np.square(np.broadcast_to(origin.scale(), origin.shape), dtype=np.float64)
        if origin.coefficient_exponents is not None:
            powers *= np.square(PATTERNS).sum(1).reshape(origin.coefficient_exponents.shape)
        squares = np.bincount(origin.indices.ravel(), powers.ravel(), len(entries))
        squares[squares == 0] = 1  # of an entry that no weight takes
        super().__init__(_parameter(entries, device), unit, torch.from_numpy(squares.astype(np.float32)).to(device))
        self._origin = origin
        self._places = Places(as_convolved(torch.from_numpy(origin.indices.astype(np.int64))).to(device))
        self._scale = torch.from_numpy(origin.scale()).to(device) if origin.is_scaled else None

    def dense(self) -> Tensor:
        values: Tensor = Lookup.apply(self.parameter, self._places)  # type: ignore[no-untyped-call]
        return _as_weights(values if self._scale is None else values * self._scale, self._origin)

    def tensor(self, name: str) -> Shared:
        values = _array(self.parameter)
        if values[0] != 0:
            raise PassError(f"the zero of its codebook became {values[0]:g}", tensor=name)
        codebook = at_precision(values, self._origin.stored_as, name).values
        return sorted_codebook(replace(self._origin, codebook=codebook))


class Levels(Trained):
    """Weights on levels, trained straight through: gradients where the levels are move floats behind them.

    The levels are those nearest to the floats; where they followed a trellis, along a path through it.

    Source: Bengio, Leonard & Courville 2013, "Estimating or propagating gradients through stochastic neurons for
    conditional computation", arXiv:1308.3432.
    """

    is_dense = False

    def __init__(self, origin: Shared, device: torch.device, keep_zeros: bool) -> None:
        self._origin = origin
        self._levels = zigzag_levels(origin.indices)
        super().__init__(_parameter(self._levels.astype(np.float32), device), 1.0)
        self._scale = self._on_device(np.array(np.broadcast_to(origin.scale(), origin.shape)))
        self._kept = self._levels != 0 if keep_zeros else np.ones(origin.shape, np.bool_)
        # A level more than before would need a codebook that the others pay for.
        self._most = int(np.abs(self._levels).max(initial=0))
        self._trellis = trellis_of(self._as_matrix(self._levels))
        self._used = self._on_device(self._levels.astype(np.float32))

    def dense(self) -> Tensor:
        return _as_weights((self.parameter + (self._used - self.parameter).detach()) * self._scale, self._origin)

    def settle(self) -> None:
        """Choose the levels anew that are nearest to the floats."""
        values = self.parameter.detach().cpu().numpy().astype(np.float64)
        if self._trellis is not None:
            mask = self._as_matrix(self._kept)
            found = nearest_path(self._as_matrix(values), mask, self._most, self._trellis)
            self._levels = found.reshape(values.shape)
        else:
            self._levels = np.where(self._kept, np.clip(np.rint(values), -self._most, self._most), 0).astype(np.int32)
        self._used = self._on_device(self._levels.astype(np.float32))

    def add_rate(self, slope: float) -> None:
        """Add to the gradient what a step away from zero costs in bits, at so many nats a bit."""
        if slope == 0 or self.parameter.grad is None:
            return
        step = 1 if self._trellis is None else 2  # a quantizer of a trellis uses every second level
        sizes = (np.abs(self._levels) + step - 1) // step
        counts = np.bincount(sizes.ravel(), minlength=3).astype(np.float64) + 0.5
        counts[1:] /= 2  # a size above zero is two levels
        bits = -np.log2(counts / counts.sum())
        rises = np.maximum(np.concatenate([[bits[1] - bits[0]], (bits[2:] - bits[:-2]) / 2, [0.0]]), 0) / step
        worth = self._on_device((slope * rises[sizes]).astype(np.float32))
        self.parameter.grad += worth * self.parameter.detach().sign()

    def tensor(self, name: str) -> Shared:
        finite(self.parameter.detach().cpu().numpy(), name)
        self.settle()
        symbols = zigzag_symbols(self._levels)
        return replace(self._origin, indices=symbols, codebook=levels_codebook(int(symbols.max(initial=0)) + 1))

    def _on_device(self, values: NDArray[np.float32]) -> Tensor:
        return as_convolved(torch.from_numpy(values)).to(self.parameter.device)

    def _as_matrix(self, values: NDArray[Any]) -> NDArray[Any]:
        return values.reshape(len(values), -1)


def _array(values: Tensor) -> NDArray[Any]:
    """Return a copy of what is trained, in row-major order."""
    return np.array(values.detach().cpu().numpy(), order="C")


def _as_weights(values: Tensor, origin: Shared) -> Tensor:
    """Return weights, given these or, where those are what is shared, the coefficients of their kernels."""
    if origin.coefficient_exponents is None:
        return values
    patterns = torch.from_numpy(PATTERNS.astype(np.float32)).to(values.device)
    return as_convolved((values.flatten(2) @ patterns).view(values.shape))


def sorted_codebook(tensor: Shared) -> Shared:
    """Bring the entries of a codebook after the first into ascending order; training may have swapped some."""
    order = np.concatenate([[0], 1 + np.argsort(tensor.codebook[1:], kind="stable")])
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    return replace(tensor, codebook=tensor.codebook[order], indices=places.astype(np.uint16)[tensor.indices])
