"""The layers of a network that have weights worth compressing, and when they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn

Layer = nn.Conv1d | nn.Conv2d | nn.Linear


@dataclass(frozen=True, eq=False)
class Call:
    """One time that a layer ran; one that is used twice in a network runs twice.

    Attributes:
        weight: name of its weight tensor; layers that share one have the same.
        layer: the layer.
        inputs: what it was given, detached.
        outputs: what it made of it.
    """

    weight: str
    layer: Layer
    inputs: Tensor
    outputs: Tensor


def layers_of(network: nn.Module) -> dict[str, Layer]:
    """Return a network's convolutions and linear layers by name; one that has several names by its first."""
    return {name: module for name, module in network.named_modules() if isinstance(module, Layer)}


def weights_of_layers(network: nn.Module) -> dict[str, str]:
    """Return the name of each layer's weight tensor by the layer's name; of one that layers share, its first name.

    Layers whose weight is computed from other parameters (`torch.nn.utils.parametrizations`) have none.
    """
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    found = ((name, names.get(id(layer.weight))) for name, layer in layers_of(network).items())
    return {name: weight for name, weight in found if weight is not None}


@contextmanager
def recorded(network: nn.Module) -> Iterator[list[Call]]:
    """Record every run of a layer while the context lasts, in order."""
    calls: list[Call] = []

    def keep(weight: str) -> Callable[[Layer, tuple[Tensor, ...], Tensor], Tensor]:
        def hook(layer: Layer, inputs: tuple[Tensor, ...], outputs: Tensor) -> Tensor:
            calls.append(Call(weight, layer, inputs[0].detach(), outputs))
            return outputs.clone()  # what comes next may change it in place

        return hook

    layers = layers_of(network)
    handles = [layers[name].register_forward_hook(keep(w)) for name, w in weights_of_layers(network).items()]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()
