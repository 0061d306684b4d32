"""The pass `simplify`: a smaller or better scaled network with the same outputs."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from compress.context import Context
from compress.errors import PassError
from compress.model import Model
from compress.networks.channel_graph import channel_links, dead_weights
from compress.networks.equalization import equalization_factors, scale_channels
from compress.passes.interface import Pass
from compress.tensors.checks import check_finite
from compress.tensors.forms import Dense, Pruned, Shared


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Simplify(Pass):
    """Prune weights that no output depends on, or equalize channels, so that the network computes the same.

    A channel is dead if no layer reads it or if it is always zero. The readers of a channel are found by tracing the
    network; layers that cannot be traced stay as they are.

    Attributes:
        remove_dead: prune the weights of dead channels.
        equalize: scale channels by powers of two where they are written, and back where they are read, so that the
            rows and columns of a layer have similar magnitudes.
    """

    kind: ClassVar[str] = "simplify"
    preserves_outputs: ClassVar[bool] = True

    remove_dead: bool = True
    equalize: bool = False

    def __call__(self, model: Model, context: Context) -> Model:
        """Return the model with the same outputs.

        Raises:
            PassError: a weight is not finite or is shared already.
        """
        for name, tensor in model.tensors.items():
            if isinstance(tensor, Shared):
                raise PassError("its weights are shared already; simplify before you share or quantize", tensor=name)
            check_finite(tensor.to_dense(), name)
        bias_names = model.bias_names()
        weights = {name: model.tensors[name].to_dense() for name in model.weight_names()}
        biases = {name: model.tensors[bias].to_dense() for name, bias in bias_names.items()}
        masks = {
            name: tensor.mask if isinstance(tensor := model.tensors[name], Pruned) else np.ones(tensor.shape, np.bool_)
            for name in weights
        }
        links = channel_links(context.network(model))
        if self.remove_dead:
            for name, dead in dead_weights(weights, biases, links).items():
                masks[name] = masks[name] & ~dead
                if name in biases:
                    dead_rows = dead.reshape(len(dead), -1).all(axis=1)
                    biases[name] = np.where(dead_rows, np.float32(0), biases[name])
            weights = {name: np.where(masks[name], values, np.float32(0)) for name, values in weights.items()}
        if self.equalize:
            weights, biases = scale_channels(weights, biases, links, equalization_factors(weights, links))
        changed: dict[str, Dense | Pruned] = {bias_names[name]: Dense(bias) for name, bias in biases.items()}
        for name, values in weights.items():
            changed[name] = Dense(values) if masks[name].all() else Pruned(values, masks[name])
        return model.with_tensors(changed)
