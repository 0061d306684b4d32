"""The pass `simplify`: fewer weights, and the same outputs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic.dataclasses import dataclass

from compress.model import Model
from compress.passes.interface import Pass
from compress.runtime.option_types import OPTIONS
from compress.tensors.forms import Dense, Pruned

if TYPE_CHECKING:
    from compress.context import Context


@dataclass(frozen=True, config=OPTIONS)
class Simplify(Pass):
    """Prune the weights of dead channels: no layer reads the channel, or it is always zero.

    A network that `torch.fx` cannot trace stays as it is, and so does one whose outputs on some calibration photos
    would change.
    """

    kind: ClassVar[str] = "simplify"
    preserves_outputs: ClassVar[bool] = True

    def __call__(self, model: Model, context: Context) -> Model:
        """Return the model with the same outputs.

        Raises:
            PassError: a weight is not finite or is shared already.
        """
        from compress.networks.channel_graph import channel_links, dead_weights, unread_channels  # noqa: PLC0415

        self.check_plain(model)
        bias_names = model.bias_names()
        weights = {name: model.tensors[name].to_dense() for name in model.weight_names()}
        biases = {name: model.tensors[bias].to_dense() for name, bias in bias_names.items()}
        changed: dict[str, Dense | Pruned] = {}
        links = channel_links(context.network(model), weights)
        all_dead = dead_weights(weights, biases, links)
        for name, dead in all_dead.items():
            mask = model.tensors[name].mask & ~dead
            values = np.where(mask, weights[name], np.float32(0))
            changed[name] = Dense(values) if mask.all() else Pruned(values, mask)
        for name, unread in unread_channels(weights, all_dead, links).items():
            if name in biases:
                changed[bias_names[name]] = Dense(np.where(unread, np.float32(0), biases[name]))
        simplified = model.with_tensors(changed)
        if context.has_same_outputs(model, simplified):
            return simplified
        return replace(model, notes=("dead channels stay: without them, the network's outputs would change",))
