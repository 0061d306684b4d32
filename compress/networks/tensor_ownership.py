"""The tensors of a network that the user's function made: each has memory of its own, and is in the state dictionary.

Values are written into the tensors of the state dictionary, one after another. That restores the network only if these
are the network's own tensors, and no two share memory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor, nn

from compress.errors import first_names

EXTRA_STATE = "_extra_state"
"""End of the name that torch gives to what a module returns in `get_extra_state`."""

_made: WeakValueDictionary[tuple[str, int], Tensor] = WeakValueDictionary()
"""Parameters of networks in use, by their identity and by the address of their memory."""


def tie_parameters(network: nn.Module) -> None:
    """Let parameters that are the same memory be one parameter, as after `b.weight.data = a.weight.data`."""
    first: dict[tuple[object, ...], nn.Parameter] = {}
    for module in network.modules():
        if isinstance(module, torch.jit.ScriptModule):
            continue
        for name, parameter in list(module.named_parameters(recurse=False, remove_duplicate=False)):
            if _has_memory(parameter):
                place = _address(parameter), parameter.storage_offset(), parameter.shape, parameter.stride()
                same = first.setdefault(place, parameter)
                if same is not parameter:
                    setattr(module, name, same)


def ownership_problem(network: nn.Module) -> str:
    """Return why values cannot be written into the network's tensors, with the remedy; empty: they can."""
    return _state_problem(network) or _overlap_problem(network) or _reuse_problem(network)


def _state_problem(network: nn.Module) -> str:
    try:
        state = network.state_dict(keep_vars=True)
    except Exception as error:  # the user's code may override it
        return f"its state_dict fails: {type(error).__name__}: {error}; remove the override"
    names: dict[int, set[str]] = defaultdict(set)
    for name, tensor in _named_tensors(network):
        names[id(tensor)].add(name)
    tensors = {name: each for name, each in state.items() if isinstance(each, Tensor)}
    foreign = [name for name, each in tensors.items() if name not in names[id(each)] and not name.endswith(EXTRA_STATE)]
    if foreign:
        return (
            f"its state_dict renames or computes tensors ({first_names(foreign)}), so they cannot be set; remove the "
            "override or the hook, and make a float network instead of quantized layers"
        )
    stored = set(map(id, tensors.values()))
    missing = [name for name, parameter in network.named_parameters() if id(parameter) not in stored]
    if missing:
        return f"its state_dict lacks parameters ({first_names(missing)}); remove the override or the hook"
    return ""


def _overlap_problem(network: nn.Module) -> str:
    by_storage: dict[int, dict[int, tuple[str, Tensor]]] = defaultdict(dict)
    for name, tensor in _named_tensors(network):
        if _has_memory(tensor):
            by_storage[_address(tensor)].setdefault(id(tensor), (name, tensor))
    for named in by_storage.values():
        if len(named) > 1 and (names := _overlapping(list(named.values()))):
            return (
                f"{' and '.join(names)} share memory, but are two tensors; give one of them a copy (clone), or use the "
                "other one itself in forward"
            )
    return ""


def _overlapping(named: list[tuple[str, Tensor]]) -> tuple[str, str] | None:
    """Return the names of two tensors of one storage that have elements in common, and are not both buffers."""
    itemsize = min(tensor.itemsize for _, tensor in named)
    owners = np.full(named[0][1].untyped_storage().nbytes() // itemsize + 1, -1, np.int32)
    for index, (name, tensor) in enumerate(named):
        scale = tensor.itemsize // itemsize
        strides = [stride * scale * owners.itemsize for stride in tensor.stride()]
        start = owners[tensor.storage_offset() * scale :]
        elements = np.lib.stride_tricks.as_strided(start, tensor.shape, strides)
        for owner in np.unique(elements[elements >= 0]).tolist():
            if isinstance(tensor, nn.Parameter) or isinstance(named[owner][1], nn.Parameter):
                return named[owner][0], name
        elements[...] = index
    return None


def _reuse_problem(network: nn.Module) -> str:
    """Check that the parameters are not those of a network that the function made before; remember them."""
    parameters = {name: each for name, each in network.named_parameters() if _has_memory(each)}
    reused = [name for name, each in parameters.items() if _is_in_use(each)]
    for each in parameters.values():
        _made["parameter", id(each)] = _made["memory", _address(each)] = each
    if reused:
        return (
            f"it returned parameters of an earlier call ({first_names(reused)}), and two networks of different "
            "weights are needed; make a new network in each call, not at the top of the module or behind "
            "functools.cache"
        )
    return ""


def _is_in_use(parameter: Tensor) -> bool:
    """Return whether a living network has this parameter, or one in the same memory."""
    other = _made.get(("memory", _address(parameter)))
    return ("parameter", id(parameter)) in _made or (other is not None and _address(other) == _address(parameter))


def _named_tensors(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from network.named_parameters(remove_duplicate=False)
    yield from network.named_buffers(remove_duplicate=False)


def _has_memory(tensor: Tensor) -> bool:
    is_plain = type(tensor) in {Tensor, nn.Parameter} and tensor.layout == torch.strided
    return is_plain and not tensor.is_meta and tensor.numel() > 0


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
