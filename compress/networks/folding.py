"""Folding of batch norms into the layers before them: fewer tensors, the same outputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from compress.errors import WeightsError
from compress.networks.layer_calls import CompressibleLayer, layer_weight_names
from compress.networks.tracing import is_altered, own_tensors, tensor_uses, trace


def fold_batch_norms(network: nn.Module) -> None:
    """Fold each batch norm into the convolution or linear layer before it, if nothing else reads that layer.

    The network, in evaluation mode, is modified in place; an identity replaces the batch norm.

    Raises:
        WeightsError: `torch.fx` cannot trace the network.
    """
    try:
        traced = trace(network)
    except WeightsError as error:
        raise WeightsError(f"cannot fold batch norms: {error}; set fold_batch_norm to false") from error
    for layer_name, norm_name in list(_foldable_pairs(traced, network)):
        layer: Any = network.get_submodule(layer_name)
        norm: Any = network.get_submodule(norm_name)
        fuse = fuse_linear_bn_eval if isinstance(layer, nn.Linear) else fuse_conv_bn_eval
        _replace(network, layer_name, fuse(layer, _affine(norm)))
        _replace(network, norm_name, nn.Identity())


def _foldable_pairs(traced: fx.GraphModule, network: nn.Module) -> Iterator[tuple[str, str]]:
    """Yield the names of each layer and its batch norm. Both run once, and nothing else reads their tensors."""
    modules = dict(network.named_modules(remove_duplicate=False))
    called = {node: modules[str(node.target)] for node in traced.graph.nodes if node.op == "call_module"}
    runs = Counter(map(id, called.values()))
    uses = tensor_uses(network, traced)
    with_weight = layer_weight_names(network)  # the others compute their weight
    for node, norm in called.items():
        if not isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d) or norm.running_mean is None or norm.training:
            continue  # statistics of the batch
        before = node.all_input_nodes[0]
        layer = called.get(before)
        if not isinstance(layer, CompressibleLayer) or before.target not in with_weight or len(before.users) > 1:
            continue
        pair = layer, norm
        if all(runs[id(module)] == 1 and not is_altered(module) for module in pair) and all(
            uses[id(tensor)] == 1 for module in pair for tensor in own_tensors(module)
        ):
            yield str(before.target), str(node.target)


def _affine(norm: Any) -> Any:
    """Return a batch norm with weight and bias, which torch needs to fold it into a linear layer."""
    if norm.weight is None:
        norm.weight = nn.Parameter(torch.ones_like(norm.running_mean))
        norm.bias = nn.Parameter(torch.zeros_like(norm.running_mean))
    return norm


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, attribute = name.rpartition(".")
    setattr(network.get_submodule(parent), attribute, module)
