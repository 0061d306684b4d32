"""The convolutions and linear layers of a network, and recordings of their calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn

CompressibleLayer = nn.Conv1d | nn.Conv2d | nn.Linear


@dataclass(frozen=True, eq=False)
class LayerCall:
    """One call of a layer. A layer that a network uses twice is called twice.

    Attributes:
        weight: name of the layer's weight tensor; layers that share a weight have the same name.
        layer: the module.
        inputs: its input, detached.
        outputs: its output.
    """

    weight: str
    layer: CompressibleLayer
    inputs: Tensor
    outputs: Tensor


def compressible_layers(network: nn.Module) -> dict[str, CompressibleLayer]:
    """Return a network's convolutions and linear layers by name; a shared layer has its first name only."""
    return {name: module for name, module in network.named_modules() if isinstance(module, CompressibleLayer)}


def layer_weight_names(network: nn.Module) -> dict[str, str]:
    """Return the name of each layer's weight tensor by the layer's name; a shared weight has its first name only.

    Layers whose weight is computed from other parameters (`torch.nn.utils.parametrizations`) are left out.
    """
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    layers = compressible_layers(network)
    return {name: names[id(layer.weight)] for name, layer in layers.items() if id(layer.weight) in names}


@contextmanager
def record_calls(network: nn.Module) -> Iterator[list[LayerCall]]:
    """Record every layer call inside the context, in order."""
    calls: list[LayerCall] = []

    def recorder(weight: str) -> Callable[[CompressibleLayer, tuple[Tensor, ...], Tensor], Tensor]:
        def hook(layer: CompressibleLayer, inputs: tuple[Tensor, ...], outputs: Tensor) -> Tensor:
            calls.append(LayerCall(weight, layer, inputs[0].detach(), outputs))
            return outputs.clone()  # the next operation may change it in place

        return hook

    layers = compressible_layers(network)
    handles = [
        layers[name].register_forward_hook(recorder(weight)) for name, weight in layer_weight_names(network).items()
    ]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()
