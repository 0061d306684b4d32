"""The error of each layer of a compressed network, and its contribution to the divergence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from compress.context import Context
from compress.errors import SqueezeError
from compress.model import Model
from compress.runtime.distributed import SINGLE_PROCESS

_PHOTOS = 32


@dataclass(frozen=True)
class LayerError:
    """The attributes of `LayerRecord` of the same names."""

    relative_error: float
    divergence_nats: float


def measure_layer_errors(model: Model, before: Model, context: Context) -> Mapping[str, LayerError]:
    """Return the errors of the weights that passes compress, by name.

    The divergence is measured by this process on crops of a few calibration photos. Without photos or gradients, the
    result is empty. `before` is the float network with the model's order of channels.
    """
    fisher = replace(context, processes=SINGLE_PROCESS).fisher
    try:
        measured = fisher.layer_contributions(model, before, _PHOTOS, context.seed)
    except (SqueezeError, RuntimeError):  # torch raises the latter; the file is made, and the report can do without
        return {}
    return {
        name: LayerError(_relative_error(model, before, name), float(each.mean())) for name, each in measured.items()
    }


def _relative_error(model: Model, before: Model, name: str) -> float:
    weights, decoded = before.tensors[name].to_dense(), model.tensors[name].to_dense()
    magnitude = float((weights**2).sum())
    return float(((decoded - weights) ** 2).sum()) / magnitude if magnitude else 0.0
