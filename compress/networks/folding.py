"""Folding of batch norms into the layers before them: fewer tensors, the same outputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from compress.errors import WeightsError
from compress.networks.layer_calls import CompressibleLayer


def fold_batch_norms(network: nn.Module) -> None:
    """Fold each batch norm into the convolution or linear layer before it, if nothing else reads that layer.

    The network, in evaluation mode, is modified in place; an identity replaces the batch norm.

    Raises:
        WeightsError: `torch.fx` cannot trace the network.
    """
    try:
        graph = fx.symbolic_trace(network).graph
    except Exception as error:  # the network's own code runs here, and may not support tracing
        raise WeightsError(
            f"cannot fold batch norms: torch.fx cannot trace the network ({error}); set fold_batch_norm to false"
        ) from error
    for layer_name, norm_name in list(_foldable_pairs(graph, network)):
        layer: Any = network.get_submodule(layer_name)
        norm: Any = network.get_submodule(norm_name)
        fuse = fuse_linear_bn_eval if isinstance(layer, nn.Linear) else fuse_conv_bn_eval
        _replace(network, layer_name, fuse(layer, norm))
        _replace(network, norm_name, nn.Identity())


def _foldable_pairs(graph: fx.Graph, network: nn.Module) -> Iterator[tuple[str, str]]:
    """Yield the names of each layer and its batch norm. Both run once, and share no weight."""
    modules = dict(network.named_modules(remove_duplicate=False))
    called = {node: modules[str(node.target)] for node in graph.nodes if node.op == "call_module"}
    runs = Counter(map(id, called.values()))
    weight_users = Counter(id(module.weight) for module in network.modules() if hasattr(module, "weight"))
    for node, norm in called.items():
        if not isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d) or norm.running_mean is None:
            continue
        before = node.all_input_nodes[0]
        layer = called.get(before)
        single = len(before.users) == 1 and runs[id(layer)] == 1 and runs[id(norm)] == 1
        if isinstance(layer, CompressibleLayer) and single and weight_users[id(layer.weight)] == 1:
            yield str(before.target), str(node.target)


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, attribute = name.rpartition(".")
    setattr(network.get_submodule(parent), attribute, module)
