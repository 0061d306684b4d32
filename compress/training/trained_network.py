"""A network whose tensors are parametrized for training, its learning rate, and a check of its loss."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from compress.context import Context
from compress.errors import PassError, first_names
from compress.model import Model
from compress.networks.factory import output_of
from compress.networks.modules import as_contiguous, as_dense, stored_tensors
from compress.networks.process_state import seeded_without_torch
from compress.tensors.forms import Tensor as WeightTensor
from compress.training.network_memory import read_memory, write_memory
from compress.training.parametrizations import DenseParametrization, Parametrization, parametrize


class TrainedNetwork:
    """A model's network in training.

    Attributes:
        trained: parametrizations by tensor name.
    """

    def __init__(self, model: Model, context: Context, dropout: float | None = None) -> None:
        """Parametrize the tensors of a model.

        Args:
            model: with the initial weights.
            context: of the training.
            dropout: probability of dropout layers; None: as the network defines it.
        Raises:
            PassError: no tensor can be trained.
        """
        self._context, self._weight_names = context, model.weight_names()
        self._dimensions = 1 + len(output_of(model).shape(model.classes))
        self._network = context.network(model).requires_grad_(False)
        for module in self._network.modules():
            if isinstance(module, nn.Dropout) and dropout is not None:
                module.p = dropout
        self._places = _places(self._network)
        names = [name for name, each in self._network.named_parameters() if each.is_floating_point()]
        parametrized = ((name, parametrize(name, model.tensors[name], context.device)) for name in names)
        self.trained: Mapping[str, Parametrization] = {name: each for name, each in parametrized if each}
        self._unchecked = [name for name in names if not isinstance(self.trained.get(name), DenseParametrization)]
        if not self.trained:
            raise PassError("no tensor can be trained: all weights are on quantization levels, and there are no biases")
        others = {name: each for name, each in stored_tensors(self._network).items() if name not in names}
        self._buffer_shapes = {name: each.shape for name, each in others.items()}

    @property
    def _buffers(self) -> dict[str, Tensor]:
        """Running means of batch norms and the like, updated by the forward pass; and parameters of whole numbers.

        The forward pass may also make a new tensor. One of another size depends on the photos alone, and is left out.
        """
        stored, shapes = stored_tensors(self._network), self._buffer_shapes
        return {name: each for name, each in stored.items() if shapes.get(name) == each.shape}

    @property
    def prunable(self) -> dict[str, DenseParametrization]:
        """Parametrizations of weight tensors that are not shared."""
        trained = {name: self.trained.get(name) for name in self._weight_names}
        return {name: each for name, each in trained.items() if isinstance(each, DenseParametrization)}

    def logits(self, inputs: Tensor, seed: int | None = None) -> Tensor:
        """Return the logits: in training mode with a seed for dropout, in evaluation mode without.

        Raises:
            PassError: the network does not support this batch size, returns no logits, or changes weights that only
                the parametrization can change.
        """
        weights = {name: self._in_format(name, each.weights()) for name, each in self.trained.items()}
        if seed is None and self._network.training:
            self._set_weights(weights)
        fixed = self._fixed_weights(weights) if seed is not None else {}
        before = {name: values.detach().clone() for name, values in fixed.items()}
        self._network.train(seed is not None)
        with _seeded(seed, self._context.device):
            try:
                outputs = self._call(weights, inputs)
            except ValueError as error:  # a batch norm does not support a single photo
                raise PassError(f"the network does not support a batch of {len(inputs)}: {error}") from error
        self._follow(weights)
        if changed := [name for name, values in fixed.items() if not torch.equal(values, before[name])]:
            self._check_changes(changed, {**weights, **before}, inputs)
        logits = outputs[0] if isinstance(outputs, tuple | list) and outputs else outputs  # auxiliary logits follow
        if not isinstance(logits, Tensor) or logits.dim() != self._dimensions:
            raise PassError(
                f"the network returns {type(outputs).__name__} in training mode (allowed: logits, or a tuple that "
                "begins with them)"
            )
        return logits

    def _call(self, weights: Mapping[str, Tensor], inputs: Tensor) -> Any:
        """Run the network with weights in place of its own."""
        everywhere = {place: values for name, values in weights.items() for place in self._places[name]}
        return functional_call(self._network, everywhere, (inputs,), tie_weights=False)

    def _follow(self, weights: Mapping[str, Tensor]) -> None:
        """Take over what the forward pass changed in copies of parameters, as moving averages of weights do."""
        with torch.no_grad():
            for name, each in self.trained.items():
                if isinstance(each, DenseParametrization) and weights[name] is not each.parameter:
                    each.parameter.copy_(weights[name])

    def _fixed_weights(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights that cannot `_follow`, shared or on levels; at a later call than the first, none."""
        names, self._unchecked = self._unchecked, []
        return {name: weights.get(name, self._network.get_parameter(name)) for name in names}

    def _check_changes(self, changed: Sequence[str], weights: Mapping[str, Tensor], inputs: Tensor) -> None:
        """Check that evaluation mode changes them, too, as a constraint of their norm does.

        Raises:
            PassError: they are changed in training mode alone, as moving averages are; the result would lack that.
        """
        copies = {name: values.detach().clone() for name, values in weights.items()}
        self._network.eval()
        with torch.no_grad():
            self._call(copies, inputs)
        if lost := [name for name in changed if torch.equal(copies[name], weights[name])]:
            raise PassError(
                f"the network changes {first_names(lost)} in training mode, as moving averages of weights do; weights "
                "that share a codebook or are on levels cannot follow: train before the stages share and quantize, or "
                "use the pass distill, which needs no training mode"
            )

    def _set_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Set the network's own weights, from which it may compute values where it enters evaluation mode."""
        with torch.no_grad():
            for name, values in weights.items():
                self._network.get_parameter(name).copy_(values)

    def _in_format(self, name: str, weights: Tensor) -> Tensor:
        """Return weights in the memory format of the network, which may not support "channels last"."""
        if weights.dim() < 4 or self._network.get_parameter(name).is_contiguous(memory_format=torch.channels_last):
            return weights
        return as_contiguous(weights)

    def backward(self, loss: Tensor, batch_fraction: float) -> float:
        """Compute the gradients of a batch from the shards of all processes, and return its loss.

        Args:
            loss: mean loss of this process' shard.
            batch_fraction: the shard's fraction of the batch.
        Raises:
            PassError: no gradient reaches any weight.
        """
        parameters = [each.parameter for each in self.trained.values()]
        for parameter in parameters:
            parameter.grad = None
        if not loss.requires_grad:
            raise PassError("the network runs without gradients; remove torch.no_grad from its forward to train it")
        loss = loss * batch_fraction
        loss.backward()  # type: ignore[no-untyped-call]
        return self._context.processes.all_reduce_gradients(parameters, loss)

    def update(self, optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
        """Run the optimizer. Each group's learning rate is multiplied by its `scale`."""
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * group["scale"]
        _begin_momentum(optimizer)
        optimizer.step()
        for each in self.trained.values():
            each.apply_mask()

    def average_buffers(self) -> None:
        """Replace buffers by their mean over all processes, which have updated them with different photos."""
        buffers = [buffer for buffer in self._buffers.values() if buffer.is_floating_point()]
        self._context.processes.all_reduce(*buffers)
        for buffer in buffers:
            buffer.div_(self._context.processes.world_size)

    def is_finite(self) -> bool:
        """Return whether all parameters are finite."""
        return all(bool(torch.isfinite(each.parameter).all()) for each in self.trained.values())

    def state(self) -> dict[str, Tensor]:
        """Return a copy of all parameters and buffers."""
        return {name: tensor.detach().clone() for name, tensor in self._state().items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned."""
        with torch.no_grad():
            for name, tensor in self._state().items():
                tensor.copy_(state.get(name, tensor))

    def _state(self) -> dict[str, Tensor]:
        return {name: each.parameter for name, each in self.trained.items()} | self._buffers

    def memory(self) -> dict[str, Any]:
        """Return what the network remembers besides `state`."""
        return read_memory(self._network)

    def load_memory(self, memory: Mapping[str, Any]) -> None:
        """Restore what `memory` returned."""
        write_memory(self._network, memory)

    def tensors(self) -> dict[str, WeightTensor]:
        """Return the trained tensors, in their original forms."""
        return {name: each.tensor() for name, each in self.trained.items()}

    def buffer_tensors(self) -> dict[str, WeightTensor]:
        """Return the buffers."""
        return {name: as_dense(buffer) for name, buffer in self._buffers.items()}


def cosine_schedule(step: int, steps: int, warmup_steps: float = 0.0) -> float:
    """Return the learning rate as a fraction of the maximum: a linear warmup, then a cosine down to zero.

    Source: Loshchilov & Hutter 2017, arXiv:1608.03983 (cosine); Goyal et al. 2017, arXiv:1706.02677, section 2.2
    (warmup).
    """
    if step < warmup_steps:
        return (step + 1) / (math.floor(warmup_steps) + 1)
    progress = (step - warmup_steps) / max(steps - warmup_steps, 1)
    return (1 + math.cos(math.pi * progress)) / 2


def check_loss(loss: float, step: int, what: str = "the loss", limit: float = math.inf) -> None:
    """Check a loss.

    Raises:
        PassError: it is not finite or not below the limit.
    """
    if not loss < limit:
        allowed = "a finite loss" if limit == math.inf else f"below {limit:.3g}, 100 times that of a random guess"
        raise PassError(f"{what} is {loss:.3g} at step {step + 1} (allowed: {allowed}); lower the learning_rate")


def _places(network: nn.Module) -> dict[str, list[str]]:
    """Return for the name of each parameter the names by which modules have it, one for each module.

    `functional_call` finds these names too, but it does not restore a module that has several names.
    """
    places: dict[int, list[str]] = defaultdict(list)
    for prefix, module in network.named_modules():
        for name, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
            places[id(parameter)].append(f"{prefix}.{name}" if prefix else name)
    return {names[0]: names for names in places.values()}


@contextmanager
def _seeded(seed: int | None, device: torch.device) -> Iterator[None]:
    """Seed the random numbers of torch, numpy and Python in the block, and restore them afterwards; None: neither."""
    if seed is None:
        yield
        return
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), seeded_without_torch(seed):
        # Not torch.manual_seed, which also writes to each kind of device that is not there.
        torch.default_generator.manual_seed(seed)
        if devices:
            torch.cuda.manual_seed(seed)
        yield


def _begin_momentum(optimizer: torch.optim.Optimizer) -> None:
    """Begin the momentum, at 0, of parameters that have their first gradient in a later step, such as an expert's.

    Torch's fused SGD begins it in the first step of all parameters only.
    """
    groups = (group["params"] for group in optimizer.param_groups if group.get("momentum"))
    used = [parameter for parameters in groups for parameter in parameters if parameter.grad is not None]
    if any("momentum_buffer" in optimizer.state.get(parameter, {}) for parameter in used):
        for parameter in used:
            optimizer.state[parameter].setdefault("momentum_buffer", torch.zeros_like(parameter))
