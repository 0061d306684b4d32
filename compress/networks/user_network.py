"""Weights of a network that the user's code makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pydantic import ConfigDict, Field, JsonValue
from pydantic.dataclasses import dataclass
from torch import nn

from compress.errors import ConfigError, WeightsError
from compress.model import Model, Preprocessing, bias_name
from compress.networks.factory import FunctionName, NetworkFactory
from compress.networks.folding import fold_batch_norms
from compress.networks.layer_calls import COMPRESSIBLE, record_calls, weight_matrices
from compress.networks.modules import as_dense, check_shapes, set_weights, stored_tensors, zero_input
from compress.networks.preprocessing_options import InputOptions
from compress.networks.state_dict_file import existing_file, read_class_names, read_state_dict
from compress.tensors.forms import Dense

_MAX_EXACT_INTEGER = 1 << 24
"""Float32 represents all integers up to this one."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class UserNetwork(InputOptions):
    """The user's own network: any `torch.nn.Module` that maps photos to logits.

    Passes compress the `weight_matrices` that the logits depend on.

    Attributes:
        factory: function that makes the network.
        args: its keyword arguments.
        checkpoint: file with a state dictionary; default: the weights that the function makes.
        fold_batch_norm: see `fold_batch_norms`.
        labels: text file with one class name a line.
    """

    factory: FunctionName
    args: dict[str, JsonValue] = Field(default_factory=dict)
    checkpoint: str | None = None
    fold_batch_norm: bool = False
    labels: str | None = None

    @property
    def description(self) -> str:
        """Origin of the weights, for the report."""
        weights = f"the weights of {Path(self.checkpoint).name}" if self.checkpoint else "the weights that it makes"
        return f"the network of {self.factory} with {weights}"

    def load(self, seed: int = 0) -> Model:
        """Make the network and read its weights; see `WeightSource`.

        Raises:
            ConfigError: also if the function makes no network that maps photos of this size to logits.
            WeightsError: also if batch norms cannot be folded, or a tensor cannot be stored as float32.
        """
        factory = NetworkFactory(self.factory, self.args, self.fold_batch_norm)
        network = factory.call(seed)
        if self.checkpoint:
            _load_checkpoint(network, existing_file(self.checkpoint, "checkpoint"), self.factory)
        if self.fold_batch_norm:
            fold_batch_norms(network)
        preprocessing = self.resolve_preprocessing()
        classes, weights = _probe(network, preprocessing)
        stored = stored_tensors(network)
        for name, tensor in stored.items():
            _check_values(name, tensor)
        biases = {bias_name(name) for name in weights}
        return Model(
            factory.architecture,
            classes,
            preprocessing,
            {name: as_dense(tensor) for name, tensor in stored.items()},
            read_class_names(self.labels, classes) if self.labels else (),
            uncompressed=frozenset(set(stored) - weights - biases),
            trusted=True,
        )


def _load_checkpoint(network: nn.Module, checkpoint: Path, function: str) -> None:
    """Set all tensors of the network; a checkpoint may have any name of a shared tensor."""
    first_names = {id(tensor): name for name, tensor in stored_tensors(network).items()}
    known = {name: first_names.get(id(tensor)) for name, tensor in network.state_dict(keep_vars=True).items()}
    named = ((known.get(name, name), array) for name, array in read_state_dict(checkpoint).items())
    tensors = {name: Dense(array) for name, array in named if name is not None}
    check_shapes(tensors, network, f"{checkpoint}: not the weights of the network of {function}")
    set_weights(network, tensors)


def _probe(network: nn.Module, preprocessing: Preprocessing) -> tuple[int, set[str]]:
    """Run the network on zeros; return the number of classes and the weights that it used."""
    pre = preprocessing
    try:
        with record_calls(network) as calls:
            logits: Any = network(zero_input(pre))
    except Exception as error:  # the network is the user's code
        problem = f"the network does not accept photos of {pre.height} x {pre.width} pixels in {pre.channels}"
        raise ConfigError(f"{problem}: {type(error).__name__}: {error}", key="model") from error
    if not isinstance(logits, torch.Tensor) or logits.dim() != 2 or len(logits) != 1:
        result = f"a tensor of {tuple(logits.shape)}" if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise ConfigError(f"the network returns {result} for one photo, expected logits (1, classes)", key="model")
    weights = {call.weight for call in calls} | _reached_matrices(network, logits)
    if not weights:
        left = ", ".join(name for name, parameter in network.named_parameters() if parameter.dim() >= 2) or "none"
        raise ConfigError(
            f"no pass can compress a weight of this network; its matrices: {left}", key="model", allowed=COMPRESSIBLE
        )
    return logits.shape[1], weights


def _reached_matrices(network: nn.Module, logits: torch.Tensor) -> set[str]:
    """Return the weight matrices that the logits depend on."""
    matrices = weight_matrices(network)
    if not matrices or not logits.requires_grad:
        return set()
    gradients = torch.autograd.grad(logits.sum(), list(matrices.values()), allow_unused=True)
    return {name for name, gradient in zip(matrices, gradients, strict=True) if gradient is not None}


def _check_values(name: str, tensor: torch.Tensor) -> None:
    values = tensor.detach()
    if values.is_complex() or not torch.isfinite(values).all():
        raise WeightsError(f"{name}: values must be finite real numbers")
    if not values.is_floating_point() and (values.to(torch.int64).abs() > _MAX_EXACT_INTEGER).any():
        raise WeightsError(f"{name}: integers above {_MAX_EXACT_INTEGER:,} are not exact in float32")
