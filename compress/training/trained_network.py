"""A network whose tensors are in training: from inputs to logits, and from what it has learned back to tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from compress.context import Context
from compress.errors import PassError
from compress.model import Model
from compress.networks.modules import as_dense, stored_tensors
from compress.tensors.forms import Tensor as Weights
from compress.training.forward import forward_of
from compress.training.parametrizations import Trained, Values, in_training, put_into


class TrainedNetwork:
    """A model's network, in training.

    Attributes:
        parts: what is trained, by the tensor's name.
    """

    def __init__(
        self, model: Model, context: Context, *, dropout: float | None, compiled: bool, mixed_precision: bool
    ) -> None:
        """Begin with the model's weights.

        Args:
            model: whose they are.
            context: of the training.
            dropout: of all dropouts; their own if None.
            compiled: let torch compile the network.
            mixed_precision: let it compute in bfloat16 where it can.
        Raises:
            PassError: there is nothing that could be trained, or the network is to be compiled and is on no GPU.
        """
        self._mixed, self._context, self._weights = mixed_precision, context, model.weight_names()
        self._network = context.network(model)
        for module in self._network.modules():
            if isinstance(module, nn.Dropout) and dropout is not None:
                module.p = dropout
        self._trained: Mapping[str, Trained] = {
            name: in_training(name, model.tensors[name], context.device, levels=False, keep_zeros=True)
            for name, _ in self._network.named_parameters()
        }
        # Running means and the like, which move with the photos and not with a gradient.
        stored = stored_tensors(self._network)
        self._buffers = {name: tensor for name, tensor in stored.items() if name not in self._trained}
        self._forward = forward_of(self._network, context.device, compiled=compiled)
        self._computed = put_into(self._network, self._trained)
        self.parts = {name: part for name, part in self._trained.items() if part.parameter.requires_grad}
        if not self.parts:
            raise PassError("there is nothing to train: all weights are on levels, which stay as they are")

    def logits(self, inputs: Tensor, seed: int | None) -> Tensor:
        """Return float32 logits; with a seed as in training, with dropout from that seed.

        Raises:
            PassError: the network takes no batch of so many photos.
        """
        weights = {name: part.dense() for name, part in self._computed.items()}
        if self._network.training != (seed is not None):
            self._network.train(seed is not None)
        device = self._context.device
        with _seeded(seed, device), torch.autocast(device.type, torch.bfloat16, enabled=self._mixed):
            try:
                logits = self._forward(weights, inputs)
            except ValueError as error:  # a batch norm does not take one photo alone
                raise PassError(f"the network does not take a batch of {len(inputs)}: {error}") from error
        return logits.float()

    def prunable(self) -> dict[str, Values]:
        """Return the weight tensors that may lose weights."""
        return {name: part for name in self._weights if isinstance(part := self._trained[name], Values)}

    def average_buffers(self) -> None:
        """Take the mean over all processes of what each has seen of its own photos."""
        floats = [buffer for buffer in self._buffers.values() if buffer.is_floating_point()]
        self._context.ranks.sum(*floats)
        for buffer in floats:
            buffer.div_(self._context.ranks.count)

    def parameters(self) -> dict[str, Tensor]:
        """Return a copy of all that training moves, for `take`."""
        parameters = {name: part.parameter for name, part in self._trained.items()}
        return {name: tensor.detach().clone() for name, tensor in {**parameters, **self._buffers}.items()}

    def take(self, parameters: Mapping[str, Tensor]) -> None:
        """Take up what `parameters` returned."""
        with torch.no_grad():
            for name, part in self._trained.items():
                part.parameter.copy_(parameters[name])
            for name, buffer in self._buffers.items():
                buffer.copy_(parameters[name])

    def tensors(self) -> dict[str, Weights]:
        """Return the tensors by now, in the forms that they had before."""
        buffers = {name: as_dense(buffer) for name, buffer in self._buffers.items()}
        return {name: part.tensor(name) for name, part in self._trained.items()} | buffers


@contextmanager
def _seeded(seed: int | None, device: torch.device) -> Iterator[None]:
    """Let torch draw from a seed while the context lasts, and from where it was afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else [], enabled=seed is not None):
        if seed is not None:
            # Not torch.manual_seed, which also writes to each kind of device that is not there.
            torch.default_generator.manual_seed(seed)
            if device.type == "cuda":
                torch.cuda.manual_seed(seed)
        yield
