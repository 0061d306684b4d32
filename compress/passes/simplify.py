"""The pass `simplify`: fewer weights, and the same outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from compress.errors import PassError
from compress.model import Model
from compress.passes.interface import Pass
from compress.tensors.checks import check_finite
from compress.tensors.forms import Dense, Pruned, Shared

if TYPE_CHECKING:
    from compress.context import Context


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Simplify(Pass):
    """Prune the weights of dead channels: no layer reads the channel, or it is always zero.

    Layers that `torch.fx` cannot trace stay as they are.
    """

    kind: ClassVar[str] = "simplify"
    preserves_outputs: ClassVar[bool] = True

    def __call__(self, model: Model, context: Context) -> Model:
        """Return the model with the same outputs.

        Raises:
            PassError: a weight is not finite or is shared already.
        """
        from compress.networks.channel_graph import channel_links, dead_weights  # noqa: PLC0415

        for name, tensor in model.tensors.items():
            if isinstance(tensor, Shared):
                raise PassError("its weights are shared already; simplify before you share or quantize", tensor=name)
            check_finite(tensor.to_dense(), name)
        bias_names = model.bias_names()
        weights = {name: model.tensors[name].to_dense() for name in model.weight_names()}
        biases = {name: model.tensors[bias].to_dense() for name, bias in bias_names.items()}
        changed: dict[str, Dense | Pruned] = {}
        for name, dead in dead_weights(weights, biases, channel_links(context.network(model))).items():
            tensor = model.tensors[name]
            mask = (tensor.mask if isinstance(tensor, Pruned) else np.ones(tensor.shape, np.bool_)) & ~dead
            values = np.where(mask, weights[name], np.float32(0))
            changed[name] = Dense(values) if mask.all() else Pruned(values, mask)
            if name in biases:
                dead_rows = dead.reshape(len(dead), -1).all(axis=1)
                changed[bias_names[name]] = Dense(np.where(dead_rows, np.float32(0), biases[name]))
        return model.with_tensors(changed)
