"""Parametrizations: tensors as functions of the parameters that an optimizer updates."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compress.quantization.codebooks import round_to_precision
from compress.tensors.forms import Dense, Pruned, Shared, check_finite
from compress.tensors.levels import levels_to_symbols
from compress.training.codebook_lookup import CodebookIndices, CodebookLookup, as_channels_last


class Parametrization(ABC):
    """A tensor in training.

    Attributes:
        parameter: what the optimizer updates.
        value_scale: mean magnitude of dense values, distance of codebook entries, or step of levels.
        update_scale: update of the parameter that changes its weights by 1, root mean square.
    """

    update_scale: float = 1.0
    _counts: Tensor | None = None
    _pruned: Tensor | None = None

    def __init__(self, name: str, values: NDArray[np.float32], value_scale: float, device: torch.device) -> None:
        self.name, self.value_scale = name, value_scale
        self.parameter = nn.Parameter(as_channels_last(torch.from_numpy(np.array(values, np.float32))).to(device))

    def weights(self) -> Tensor:
        """Return the dense weights as a function of the parameter."""
        return self.parameter

    def average_gradient(self) -> None:
        """Replace the summed gradients of weights that share an entry by their mean."""
        if self._counts is not None and self.parameter.grad is not None:
            self.parameter.grad /= self._counts

    def apply_mask(self) -> None:
        """Set pruned weights to zero again, after an update."""
        if self._pruned is not None:
            with torch.no_grad():
                self.parameter.masked_fill_(self._pruned, 0)

    @abstractmethod
    def tensor(self) -> Dense | Pruned | Shared:
        """Return the trained tensor, in the form of the original one.

        Raises:
            PassError: a value is not finite, or is too large for its precision.
        """


def parametrize(name: str, tensor: Dense | Pruned | Shared, device: torch.device) -> Parametrization | None:
    """Return the parametrization of a tensor; None: weights or coefficients on levels, which are not trained."""
    if not isinstance(tensor, Shared):
        return DenseParametrization(name, tensor, device)
    if not tensor.has_levels and tensor.coefficient_exponents is None:
        return CodebookParametrization(name, tensor, device)
    return LevelParametrization(name, tensor, device) if len(tensor.shape) == 1 else None


class DenseParametrization(Parametrization):
    """Dense weights or biases; pruned weights stay zero."""

    def __init__(self, name: str, original: Dense | Pruned, device: torch.device) -> None:
        values = original.to_dense()
        magnitude = float(np.abs(values).mean(dtype=np.float64)) if values.any() else 1.0
        super().__init__(name, values, magnitude, device)
        self._original = original
        if isinstance(original, Pruned):
            self.prune(original.mask)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """bool, shape of the weights; False where pruned."""
        return np.ones(self._original.shape, np.bool_) if self._pruned is None else ~_to_numpy(self._pruned)

    def prune(self, mask: NDArray[np.bool_]) -> None:
        """Set the weights outside a mask to zero for the rest of the training."""
        self._pruned = as_channels_last(torch.from_numpy(~mask)).to(self.parameter.device)
        self.apply_mask()

    def pruned(self) -> Pruned:
        """Return the current weights and their mask."""
        return Pruned(_to_numpy(self.parameter), self.mask)

    def tensor(self) -> Dense | Pruned:
        values = _to_numpy(self.parameter)
        if self._pruned is None:
            assert isinstance(self._original, Dense)
            return round_to_precision(values, self._original.stored_as, self.name)
        check_finite(values, self.name)
        return self.pruned()


class LevelParametrization(Parametrization):
    """Biases on quantization levels: trained as floats, then rounded to the nearest level."""

    def __init__(self, name: str, original: Shared, device: torch.device) -> None:
        super().__init__(name, original.to_dense(), float(original.scale().mean()), device)
        self._original = original

    def tensor(self) -> Shared:
        values = _to_numpy(self.parameter)
        check_finite(values, self.name)
        levels, codebook = np.rint(self._original.unscaled(values)).astype(np.int32), self._original.codebook
        levels = np.clip(levels, int(codebook.min()), int(codebook.max()))
        return replace(self._original, indices=levels_to_symbols(levels))


class CodebookParametrization(Parametrization):
    """Shared weights: the codebook entries are trained, the indices are fixed."""

    def __init__(self, name: str, original: Shared, device: torch.device) -> None:
        entries = original.codebook
        spacing = float(np.ptp(entries.astype(np.float64))) / (len(entries) - 1) if len(entries) > 1 else 1.0
        super().__init__(name, entries, spacing, device)
        self._original = original
        self._indices = CodebookIndices(torch.from_numpy(original.indices.astype(np.int64)).to(device))
        self._scale = torch.from_numpy(original.scale()).to(device)
        # Sum of the squared scales of each entry's weights: without scales, their number.
        energy = np.square(np.broadcast_to(original.scale(), original.shape), dtype=np.float64)
        counts = np.bincount(original.indices.ravel(), energy.ravel(), len(entries))
        counts[counts == 0] = 1
        self._counts = torch.from_numpy(counts.astype(np.float32)).to(device)
        self.update_scale = math.sqrt(original.indices.size / float(self._counts.sum(dtype=torch.float64)))

    def weights(self) -> Tensor:
        values: Tensor = CodebookLookup.apply(self.parameter, self._indices)  # type: ignore[no-untyped-call]
        return values * self._scale

    def tensor(self) -> Shared:
        codebook = round_to_precision(_to_numpy(self.parameter), self._original.stored_as, self.name).values
        return sort_codebook(replace(self._original, codebook=codebook))


def sort_codebook(tensor: Shared) -> Shared:
    """Sort the codebook entries after the first, because training may swap some."""
    order = np.concatenate([[0], 1 + np.argsort(tensor.codebook[1:], kind="stable")])
    new_indices = np.empty_like(order)
    new_indices[order] = np.arange(len(order))
    return replace(tensor, codebook=tensor.codebook[order], indices=new_indices.astype(np.uint16)[tensor.indices])


def _to_numpy(values: Tensor) -> NDArray[Any]:
    """Return a copy in row-major order."""
    return np.array(values.detach().cpu().numpy(), order="C")
