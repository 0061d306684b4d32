"""Tracing of a network's operations with `torch.fx`, and what a trace does not show."""

from __future__ import annotations

import copy
import inspect
from collections import Counter
from typing import Any

from torch import Tensor, fx, nn
from torch.nn.utils.parametrize import is_parametrized

from compress.errors import WeightsError
from compress.networks.layer_calls import CompressibleLayer, is_standard


def trace(network: nn.Module) -> fx.GraphModule:
    """Return the operations of a network.

    A copy is traced: the network's own code runs, and may keep the placeholders that it meets. Arguments after the
    photos have their default values.

    Raises:
        WeightsError: the network cannot be copied or traced.
    """
    try:
        tracer = _Tracer()
        graph = tracer.trace(copy.deepcopy(network))
        return fx.GraphModule(tracer.root, graph, type(network).__name__)
    except Exception as error:  # the network is the user's code
        raise WeightsError(f"torch.fx cannot trace the network: {error}") from error


class _Tracer(fx.Tracer):
    """Calls `forward` with the photos alone; torch's own makes a placeholder of every argument."""

    def create_args_for_root(self, root_fn: Any, *_: object) -> Any:
        arguments = list(inspect.signature(root_fn).parameters.values())[1:2]
        name = next((each.name for each in arguments if each.kind is each.POSITIONAL_OR_KEYWORD), "x")
        return root_fn, [self.root, self.create_proxy("placeholder", name, (), {})]


def is_altered(module: nn.Module) -> bool:
    """Return whether hooks, parametrizations or a `forward` of its own change what a module computes.

    A trace does not show them. It shows no operations of torch's own layers, such as those that round their weights.
    """
    if isinstance(module, CompressibleLayer):
        return not is_standard(module) or is_parametrized(module)
    hooked = module._forward_hooks or module._forward_pre_hooks
    return bool(hooked or "forward" in vars(module) or is_parametrized(module))


def argument(node: fx.Node, position: int, name: str, default: Any = None) -> Any:
    """Return an argument of a node's call, given by position or by name."""
    return node.args[position] if len(node.args) > position else node.kwargs.get(name, default)


def own_tensors(module: nn.Module) -> list[Tensor]:
    """Return the parameters and buffers of a module without those of its submodules."""
    return [*module.parameters(recurse=False), *module.buffers(recurse=False)]


def tensor_uses(network: nn.Module, traced: fx.GraphModule) -> Counter[int]:
    """Return how many modules have each tensor, by its id, plus one if the network also reads it itself."""
    uses = Counter(id(tensor) for module in network.modules() for tensor in own_tensors(module))
    read = {str(node.target) for node in traced.graph.nodes if node.op == "get_attr"}
    uses.update(id(tensor) for name, tensor in network.state_dict(keep_vars=True).items() if name in read)
    return uses
