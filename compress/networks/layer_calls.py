"""The convolutions and linear layers of a network, and recordings of their calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

CompressibleLayer = nn.Conv1d | nn.Conv2d | nn.Linear


@dataclass(frozen=True, eq=False)
class LayerCall:
    """One call of a layer: the name of its weight tensor, the module, its detached input and its output."""

    weight: str
    layer: CompressibleLayer
    inputs: Tensor
    outputs: Tensor


def layer_weight_names(network: nn.Module) -> dict[str, str]:
    """Return the name of each layer's weight tensor by the layer's name; shared ones have their first name.

    Layers with a computed weight (`torch.nn.utils.parametrizations`) are left out.
    """
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    layers = ((name, module) for name, module in network.named_modules() if isinstance(module, CompressibleLayer))
    return {name: names[id(layer.weight)] for name, layer in layers if id(layer.weight) in names}


@contextmanager
def record_calls(network: nn.Module) -> Iterator[list[LayerCall]]:
    """Record every layer call inside the context, in order."""
    calls: list[LayerCall] = []

    def record(weight: str, layer: CompressibleLayer, inputs: tuple[Tensor, ...], outputs: Tensor) -> Tensor:
        calls.append(LayerCall(weight, layer, inputs[0].detach(), outputs))
        return outputs.clone()  # the next operation may change it in place

    with ExitStack() as hooks:
        for name, weight in layer_weight_names(network).items():
            hooks.enter_context(network.get_submodule(name).register_forward_hook(partial(record, weight)))
        yield calls
