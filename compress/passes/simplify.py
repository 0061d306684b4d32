"""Leaving out what changes no output, and bringing weights to one size: nothing is lost by either."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from compress.context import Context
from compress.errors import PassError
from compress.model import Model
from compress.networks.channel_graph import dead, links
from compress.networks.equalization import equalising, scaled
from compress.passes.interface import Pass
from compress.tensors.checks import check_finite
from compress.tensors.forms import Dense, Pruned, Shared


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Simplify(Pass):
    """Make a network that computes the same with less, or with weights that are easier to share.

    Channels that nothing reads, and those that are always zero, are left out: their weights become pruned zeros. Which
    layers read a channel is found by tracing the network; where that cannot be told nothing is left out. The passes
    after it recover towards the network that it leaves.

    Attributes:
        dead: leave out what changes no output.
        equalise: multiply channels, by powers of two, where they are written, and divide them where they are read, so
            that rows and columns of a layer come nearer to each other in size.
    """

    kind: ClassVar[str] = "simplify"
    preserves_outputs: ClassVar[bool] = True

    dead: bool = True
    equalise: bool = False

    def __call__(self, model: Model, context: Context) -> Model:
        """Return the model with the same outputs.

        Raises:
            PassError: a weight is not finite or shares its value already.
        """
        for name, tensor in model.tensors.items():
            if isinstance(tensor, Shared):
                raise PassError("its weights are shared already; simplify before you share or quantize", tensor=name)
            check_finite(tensor.to_dense(), name)
        names, bias_names = model.weight_names(), model.bias_names()
        weights = {name: model.tensors[name].to_dense() for name in names}
        biases = {name: model.tensors[bias].to_dense() for name, bias in bias_names.items()}
        found = links(context.network(model))
        mask = {name: _kept(model.tensors[name]) for name in names}
        if self.dead:
            for name, gone in dead(weights, biases, found).items():
                mask[name] = mask[name] & ~gone
                if name in biases:
                    unread = gone.reshape(len(gone), -1).all(axis=1)
                    biases[name] = np.where(unread, np.float32(0), biases[name])
            weights = {name: np.where(mask[name], values, np.float32(0)) for name, values in weights.items()}
        if self.equalise:
            weights, biases = scaled(weights, biases, found, equalising(weights, found))
        changed: dict[str, Dense | Pruned] = {bias_names[name]: Dense(bias) for name, bias in biases.items()}
        for name, values in weights.items():
            changed[name] = Dense(values) if mask[name].all() else Pruned(values, mask[name])
        return model.with_tensors(changed)


def _kept(tensor: Dense | Pruned | Shared) -> NDArray[np.bool_]:
    return tensor.mask if isinstance(tensor, Pruned) else np.ones(tensor.shape, dtype=np.bool_)
