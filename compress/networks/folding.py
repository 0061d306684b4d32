"""Batch norms folded into the layers before them: the same outputs with fewer tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from compress.errors import WeightsError

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def fold_batch_norms(network: nn.Module) -> None:
    """Fold each batch norm into the convolution or linear layer before it, where nothing else reads that layer.

    The layer gets a bias where it had none, and an identity stands where the batch norm stood.

    Args:
        network: in evaluation mode; it is changed.
    Raises:
        WeightsError: its operations cannot be traced, so that nobody can tell what stands before what.
    """
    try:
        graph = fx.symbolic_trace(network).graph
    except Exception as error:  # the network's own code runs here, and may not take being traced
        raise WeightsError(
            f"batch norms cannot be folded, as the network cannot be traced ({error}); set fold_batch_norm to false"
        ) from error
    for before, after in list(_pairs(graph, network)):
        layer, norm = network.get_submodule(before), network.get_submodule(after)
        assert isinstance(norm, _BATCH_NORMS)
        if isinstance(layer, nn.Linear):
            _put(network, before, fuse_linear_bn_eval(layer, norm))
        else:
            assert isinstance(layer, nn.Conv1d | nn.Conv2d)
            _put(network, before, fuse_conv_bn_eval(layer, norm))
        _put(network, after, nn.Identity())


def _pairs(graph: fx.Graph, network: nn.Module) -> Iterator[tuple[str, str]]:
    """Yield the names of each layer and of the batch norm that alone reads it; neither runs a second time."""
    modules = dict(network.named_modules(remove_duplicate=False))
    runs = Counter(id(modules[str(node.target)]) for node in graph.nodes if node.op == "call_module")
    weights = Counter(id(module.weight) for name, module in network.named_modules() if hasattr(module, "weight"))
    for node in graph.nodes:
        norm = modules.get(str(node.target)) if node.op == "call_module" else None
        if not isinstance(norm, _BATCH_NORMS) or norm.running_mean is None or len(node.all_input_nodes) != 1:
            continue
        before = node.all_input_nodes[0]
        layer = modules.get(str(before.target)) if before.op == "call_module" else None
        alone = len(before.users) == 1 and runs[id(layer)] == 1 and runs[id(norm)] == 1
        if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear) and alone and weights[id(layer.weight)] == 1:
            yield str(before.target), str(node.target)


def _put(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, module)
