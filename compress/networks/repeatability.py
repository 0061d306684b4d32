"""Check that a network gives the same outputs whenever it runs and whenever it is built."""

from __future__ import annotations

import pickle
import random

import numpy as np
import torch
from torch import Tensor, nn

from compress.errors import ConfigError
from compress.model import Model
from compress.networks.equivalence import relative_difference, same_outputs
from compress.networks.modules import set_weights, to_module, zero_input

_RUNS, _RUNS_WITH_DRAWS = 2, 64
"""Runs of the network; more if it draws random numbers, which may seldom change an output (stochastic depth)."""

_DRAWN = "its forward pass draws random numbers, for example in F.dropout without training=self.training"
_BUILT = (
    "built again with the same parameters and buffers, it is another network; register what its function draws, or "
    "what it keeps of the first photos, as a buffer"
)


def check_repeatable(network: nn.Module, model: Model) -> None:
    """Check that a network, and one built again with the same tensors, give the same outputs each time.

    Args:
        network: as its function made it, on the CPU; its tensors are set to those of the model before each run.
        model: the network's tensors.
    Raises:
        ConfigError: the outputs differ.
    """
    with torch.random.fork_rng(devices=[]):
        photo = torch.randn(zero_input(model.preprocessing).shape, generator=torch.Generator().manual_seed(0))
        before = _random_states()
        expected = _run(network, model, photo)
        for _ in range((_RUNS_WITH_DRAWS if _random_states() != before else _RUNS) - 1):
            _check_same(expected, _run(network, model, photo), _DRAWN)
        _check_same(expected, _run(to_module(model), model, photo), _BUILT)


def _run(network: nn.Module, model: Model, photo: Tensor) -> Tensor:
    set_weights(network, model.tensors)  # the forward pass may update buffers
    with torch.no_grad():
        logits: Tensor = network(photo.clone())
    return logits


def _check_same(expected: Tensor, actual: Tensor, cause: str) -> None:
    if not same_outputs(expected, actual):
        raise ConfigError(
            "the network does not give the same outputs twice for one photo: they differ by "
            f"{relative_difference(expected, actual):.2%} of the largest; {cause}",
            key="model",
        )


def _random_states() -> tuple[object, ...]:
    """Return the states of the global random number generators."""
    numpy_state = pickle.dumps(np.random.get_state())  # noqa: NPY002  the generator that user code draws from
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), numpy_state
