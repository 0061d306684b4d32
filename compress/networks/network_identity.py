"""What determines a network's outputs besides its tensors: results in the cache are of the same network."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import torch

from compress.model import Model
from compress.networks.factory import NetworkFactory, is_factory
from compress.networks.modules import random_input, to_module

_DIRECTIONS = 4
"""Random directions whose products with the outputs tell networks apart."""


def identity(model: Model) -> tuple[str, ...]:
    """Return what determines a model's outputs on photos besides its tensors, for cache keys."""
    made = model.architecture, repr(model.preprocessing)
    if not is_factory(model.architecture):
        return made
    return *made, NetworkFactory.parse(model.architecture).source_sha256(), _sketch_of_outputs(model)


def _sketch_of_outputs(model: Model) -> str:
    """Return a few coarse numbers of the outputs on random pixels; empty: the network does not run.

    They change with what a function reads besides code, such as a file of settings or a variable of the environment,
    and not with the float32 rounding of another machine.
    """
    with suppress(Exception), torch.no_grad(), torch.random.fork_rng(devices=[]):  # the network is the user's code
        outputs = to_module(model)(random_input(model.preprocessing, 1)).double().flatten().numpy()
        norm = max(np.linalg.norm(outputs), np.finfo(np.float64).tiny)
        directions = np.random.default_rng(0).standard_normal((_DIRECTIONS, outputs.size))
        return repr([round(float(each), 2) for each in (np.log(norm), *(directions @ outputs / norm))])
    return ""
