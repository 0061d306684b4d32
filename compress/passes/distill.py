"""Distillation: the shared values and the biases are trained towards the float network's outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass as plain_dataclass
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from compress.errors import PassError
from compress.model import Model
from compress.passes.context import Context, finite
from compress.passes.share import at_precision
from compress.tensors import Dense, Pruned, Shared, zigzag_symbols


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Distill:
    """Train the shared values and the biases, without labels, until the outputs are the float network's again.

    As in Deep Compression, the gradients of all weights that share a value are summed; which weights share it does
    not change, and pruned weights stay pruned. Weights that are not shared are trained one by one. The loss is the
    Kullback-Leibler divergence of the softmax from the float network's, on calibration photos and their mirror
    images. Weights on evenly spaced levels stay as they are; biases on levels are trained, and go to the nearest.

    Attributes:
        steps: of the optimiser (Adam, the rate falling to zero along a cosine).
        batch: photos a step.
        learning_rate: for shared values, in parts of the mean distance between them; for biases and weights that are
            not shared, in parts of the tensor's mean magnitude.
        temperature: divides the logits of both networks before the softmax.
    Source: Han et al. 2016, arXiv:1510.00149, section 3.3; Hinton et al. 2015, arXiv:1503.02531.
    """

    kind: ClassVar[str] = "distill"

    steps: Annotated[int, Field(ge=1)] = 100
    batch: Annotated[int, Field(ge=1)] = 32
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.03
    temperature: Annotated[float, Field(gt=0, le=100)] = 1.0

    def __call__(self, model: Model, context: Context) -> Model:
        """Return the model with trained values.

        Raises:
            PassError: the loss stopped being finite; says at which step.
        """
        network = context.network(model)
        teacher = context.network(context.reference)
        trained = {name: _trained(name, tensor, context.device) for name, tensor in model.tensors.items()}
        optimiser = torch.optim.Adam(
            [
                {"params": [part.parameter], "lr": self.learning_rate * part.unit}
                for part in trained.values()
                if part.parameter.requires_grad
            ]
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)
        generator = np.random.default_rng(context.stage_seed)
        with context.progress("distilling", self.steps) as advance:
            for step, places in enumerate(_batches(len(context.calibration), self.batch, self.steps, generator)):
                inputs = _mirrored(context.inputs(places), generator)
                with torch.no_grad():
                    wanted = teacher(inputs)
                loss = self._loss(network, trained, inputs, wanted)
                if not torch.isfinite(loss):
                    raise PassError(f"the loss is {loss.item()} at step {step + 1}; lower the learning_rate")
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                schedule.step()
                advance(1)
        return model.with_tensors({name: part.tensor(name) for name, part in trained.items()})

    def _loss(self, network: nn.Module, trained: Mapping[str, _Trained], inputs: Tensor, wanted: Tensor) -> Tensor:
        weights = {name: part.dense() for name, part in trained.items()}
        logits = functional_call(network, weights, (inputs,))
        return functional.kl_div(
            (logits / self.temperature).log_softmax(1),
            (wanted / self.temperature).log_softmax(1),
            reduction="batchmean",
            log_target=True,
        )


@plain_dataclass
class _Trained:
    """A tensor in training: its parameter, and the way from there to dense values and back to the tensor."""

    origin: Dense | Pruned | Shared
    parameter: nn.Parameter
    unit: float
    indices: Tensor | None = None
    scale: Tensor | None = None

    def dense(self) -> Tensor:
        if self.indices is not None:
            values: Tensor = _Lookup.apply(self.parameter, self.indices)  # type: ignore[no-untyped-call]
            return values if self.scale is None else values * self.scale
        return self.parameter if self.scale is None else self.parameter * self.scale

    def tensor(self, name: str) -> Dense | Pruned | Shared:
        values = self.parameter.detach().cpu().numpy().copy()
        if isinstance(self.origin, Shared) and self.indices is None:
            return self.origin if self.origin.indices.ndim > 1 else _nearest_levels(values, self.origin)
        if isinstance(self.origin, Shared):
            values[0] = 0
            return sorted_codebook(
                replace(self.origin, codebook=at_precision(values, self.origin.stored_as, name).values)
            )
        if isinstance(self.origin, Pruned):
            finite(values, name)
            return Pruned(np.where(self.origin.kept, values, np.float32(0)), self.origin.kept)
        return at_precision(values, self.origin.stored_as, name)


def _trained(name: str, tensor: Dense | Pruned | Shared, device: torch.device) -> _Trained:
    if isinstance(tensor, Shared) and tensor.has_levels:
        dense = nn.Parameter(torch.from_numpy(np.array(tensor.to_dense())).to(device), len(tensor.shape) == 1)
        return _Trained(tensor, dense, float(tensor.scale().mean()))
    if isinstance(tensor, Shared):
        entries = tensor.codebook
        unit = float(np.ptp(entries.astype(np.float64))) / (len(entries) - 1) if len(entries) > 1 else 1.0
        return _Trained(
            tensor,
            nn.Parameter(torch.from_numpy(entries.copy()).to(device)),
            unit,
            torch.from_numpy(tensor.indices.astype(np.int64)).to(device),
            torch.from_numpy(tensor.scale()).to(device),
        )
    values = tensor.to_dense()
    kept = torch.from_numpy(tensor.kept.astype(np.float32)).to(device) if isinstance(tensor, Pruned) else None
    unit = float(np.abs(values).mean(dtype=np.float64)) if values.any() else 1.0
    return _Trained(tensor, nn.Parameter(torch.from_numpy(values.copy()).to(device)), unit, scale=kept)


def _nearest_levels(values: NDArray[np.float32], origin: Shared) -> Shared:
    """Return values on the levels that a tensor has."""
    levels = np.rint(values.astype(np.float64) / origin.scale()).astype(np.int32)
    most, least = int(origin.codebook.max()), int(origin.codebook.min())
    return replace(origin, indices=zigzag_symbols(np.clip(levels, least, most)))


class _Lookup(torch.autograd.Function):
    """`codebook[indices]`, whose backward pass sums the gradients of each entry; entry 0 gets none.

    Torch's own backward pass of an index with a million places into thirty is far slower on a CPU.
    """

    @staticmethod
    def forward(ctx: Any, codebook: Tensor, indices: Tensor) -> Tensor:
        ctx.save_for_backward(indices)
        ctx.entries = len(codebook)
        return codebook[indices]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (indices,) = ctx.saved_tensors
        total = torch.bincount(indices.ravel(), gradients[0].ravel(), ctx.entries).to(gradients[0].dtype)
        total[0] = 0
        return total, None


def sorted_codebook(tensor: Shared) -> Shared:
    """Bring the entries of a codebook after the first into ascending order; training may have swapped some."""
    order = np.concatenate([[0], 1 + np.argsort(tensor.codebook[1:], kind="stable")])
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    return replace(tensor, codebook=tensor.codebook[order], indices=places.astype(np.uint16)[tensor.indices])


def _batches(photos: int, size: int, steps: int, generator: np.random.Generator) -> list[NDArray[np.int64]]:
    """Return the photos of each step: every photo once, in random order, before any a second time."""
    size = min(size, photos)
    rounds = -(-steps * size // photos)
    order = np.concatenate([generator.permutation(photos) for _ in range(rounds)])
    return [order[start : start + size] for start in range(0, steps * size, size)]


def _mirrored(inputs: Tensor, generator: np.random.Generator) -> Tensor:
    """Mirror about half of the photos, left to right."""
    chosen = torch.from_numpy(generator.random(len(inputs)) < 0.5).to(inputs.device)
    return torch.where(chosen[:, None, None, None], inputs.flip(3), inputs)
