"""The weight matrices of a network, and recordings of the calls of its convolutions and linear layers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

CompressibleLayer = nn.Conv1d | nn.Conv2d | nn.Linear

_STANDARD_FORWARDS = {
    (kind.forward, getattr(kind, "_conv_forward", None)) for kind in (nn.Conv1d, nn.Conv2d, nn.Linear)
}

_MATRIX_OWNERS = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
    nn.MultiheadAttention, nn.RNNBase, nn.RNNCellBase, nn.Embedding, nn.EmbeddingBag, nn.Bilinear,
)  # fmt: skip
"""Kinds of modules with weight matrices, one row per index of the first dimension."""

COMPRESSIBLE = (
    "the weights of convolutions, linear, recurrent, attention and embedding layers that the logits depend on; "
    "write the operations of others with these layers, and remove norms and masks of weights"
)
"""What passes compress, for messages."""

_MATRIX_NAME = re.compile(r"(\w+_)?weight(_(ih|hh|hr)(_l\d+(_reverse)?)?)?")
"""Names of weight matrices in these modules; not `weight_g`, `weight_v` or `weight_orig`, which norms are made of."""


@dataclass(frozen=True, eq=False)
class LayerCall:
    """One call of a layer: the name of its weight tensor, the module, its detached input and its output.

    The input has a batch dimension, even where the layer ran on one photo without it.
    """

    weight: str
    layer: CompressibleLayer
    inputs: Tensor
    outputs: Tensor


def layer_weight_names(network: nn.Module) -> dict[str, str]:
    """Return the name of each layer's weight tensor by the layer's name; shared ones have their first name.

    Layers with a computed weight (`torch.nn.utils.parametrizations`) or without any are left out.
    """
    names = {id(parameter): name for name, parameter in network.named_parameters() if parameter.numel()}
    layers = ((name, module) for name, module in network.named_modules() if isinstance(module, CompressibleLayer))
    return {name: names[id(layer.weight)] for name, layer in layers if id(layer.weight) in names}


def weight_matrices(network: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that are weight matrices, by name, in the network's order; shared ones by their first name.

    Not among them are norms, parameters of the network's own modules, and weights that a parametrization computes.
    """
    owners = (module for module in network.modules() if isinstance(module, _MATRIX_OWNERS))
    matrices = {
        id(parameter)
        for owner in owners
        for name, parameter in owner.named_parameters(recurse=False)
        if _MATRIX_NAME.fullmatch(name) and parameter.dim() >= 2 and parameter.numel()
    }
    return {name: parameter for name, parameter in network.named_parameters() if id(parameter) in matrices}


def reached(matrices: Mapping[str, Tensor], outputs: Tensor) -> set[str]:
    """Return the names of the matrices that a network's outputs depend on. Its graph is kept."""
    if not matrices or not outputs.requires_grad:
        return set()
    gradients = torch.autograd.grad(outputs.sum(), list(matrices.values()), retain_graph=True, allow_unused=True)
    return {name for name, gradient in zip(matrices, gradients, strict=True) if gradient is not None}


def matrix_shape(weight: Tensor) -> tuple[int, int]:
    """Return rows and columns of a weight tensor as a matrix."""
    rows, columns = weight.flatten(1).shape
    return rows, columns


def is_standard(layer: nn.Module) -> bool:
    """Return whether a layer computes what its kind does in torch: no forward and no hooks of the user's own."""
    if not isinstance(layer, CompressibleLayer):  # a TorchScript module has no `forward` that can be looked at
        return False
    forwards = type(layer).forward, getattr(type(layer), "_conv_forward", None)
    hooked = layer._forward_hooks or layer._forward_pre_hooks or "forward" in vars(layer)
    return forwards in _STANDARD_FORWARDS and not hooked


@contextmanager
def record_calls(network: nn.Module) -> Iterator[list[LayerCall]]:
    """Record every call inside the context, in order, of standard layers whose weight no other module owns.

    Calls inside `torch.vmap` are left out.
    """
    calls: list[LayerCall] = []

    def record(
        weight: str, layer: CompressibleLayer, args: tuple[Tensor, ...], keywords: dict[str, Tensor], outputs: Tensor
    ) -> Tensor:
        (x,) = (*args, *keywords.values())
        if torch._C._functorch.is_functorch_wrapped_tensor(outputs):
            return outputs  # inside torch.vmap, where no gradient of a call can be seen
        calls.append(LayerCall(weight, layer, _batched(layer, x.detach()), outputs))
        return outputs.clone()  # the next operation may change it in place

    others = [module for module in network.modules() if not is_standard(module)]
    elsewhere = {id(parameter) for module in others for parameter in module.parameters(recurse=False)}
    with ExitStack() as hooks:
        for name, weight in layer_weight_names(network).items():
            layer = network.get_submodule(name)
            if id(layer.weight) not in elsewhere:
                hooks.enter_context(layer.register_forward_hook(partial(record, weight), with_kwargs=True))
        yield calls


def _batched(layer: CompressibleLayer, x: Tensor) -> Tensor:
    dimensions = 2 if isinstance(layer, nn.Linear) else layer.weight.dim()
    return x.unsqueeze(0) if x.dim() < dimensions else x
