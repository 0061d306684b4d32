"""Search for a network's tensors in a checkpoint.

Training scripts keep them under a key (`model`, `state_dict`), with a prefix (`module.`), beside averaged weights and
the state of an optimizer. A part of a checkpoint fits if the names after one prefix include all names of the network.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from compress.errors import ConfigError, WeightsError, first_names, nearest
from compress.networks.float_values import to_float32
from compress.networks.modules import stored_tensors, tied_names
from compress.weights.checkpoint_file import Checkpoint
from compress.weights.foreign_files import SAVE_STATE
from compress.weights.source_files import Arrays

_Parts = Mapping[str, Mapping[str, list[str]]]
Shape = tuple[int | None, ...]
"""None: any number."""

_WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""Names that `DataParallel`, `torch.compile`, FSDP and activation checkpointing add, at the front or inside."""

_COUNTERS = ("num_batches_tracked", "n_averaged")
"""Buffers of batch norms and `AveragedModel`; no output depends on them."""


@dataclass(frozen=True)
class ExpectedTensors:
    """The tensors that a network needs.

    Attributes:
        shapes: by first name.
        first_names: by every name; a shared tensor has several names.
        integers: the names of tensors that hold whole numbers or truth values.
    """

    shapes: Mapping[str, Shape]
    first_names: Mapping[str, str]
    integers: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False)
class StateDict:
    """Tensors of a checkpoint.

    Attributes:
        arrays: by the network's names. If no part of the checkpoint has all names, those of the closest part.
        notes: what of the checkpoint is not in `arrays`, for the report.
    """

    arrays: Arrays
    notes: tuple[str, ...] = ()


def expected_tensors(network: nn.Module) -> ExpectedTensors:
    """Return the tensors that a network needs."""
    stored = stored_tensors(network)
    return ExpectedTensors(
        shapes={name: tuple(tensor.shape) for name, tensor in stored.items()},
        first_names={name: name for name in stored} | tied_names(network),
        integers=frozenset(name for name, tensor in stored.items() if not tensor.is_floating_point()),
    )


def find_state_dict(
    checkpoint: Checkpoint, expected: ExpectedTensors, key: str | None = None, strict: bool = True
) -> StateDict:
    """Return the tensors of a checkpoint that are the network's. The caller checks their shapes.

    Args:
        checkpoint: to search.
        expected: tensors of the network.
        key: keys on the way to the tensors, joined by dots; None: search everywhere.
        strict: tensors beside them that the network lacks are an error.
    Raises:
        ConfigError: there are no tensors under `key`.
        WeightsError: several parts of the checkpoint fit; it has tensors that the network lacks; weights are whole
            numbers; or values cannot be stored in float32.
    """
    checkpoint = _below(checkpoint, key) if key else checkpoint
    parts = _match(checkpoint, expected)
    complete = {prefix: names for prefix, names in parts.items() if names.keys() == expected.shapes.keys()}
    if not complete and checkpoint.holds_network:
        raise WeightsError(f"{checkpoint.path}: holds a whole pickled network, not its weights; {SAVE_STATE}")
    chosen = _choose(checkpoint, expected, complete) if complete else ""
    names = complete[chosen] if complete else max(parts.values(), key=len, default={})
    others = _beside(checkpoint, names)
    if not complete:  # some may have their full names, others a prefix
        names = {**{expected.first_names[name]: [name] for name in others if name in expected.first_names}, **names}
        others = _beside(checkpoint, names)
    is_complete = names.keys() == expected.shapes.keys()
    if is_complete and others and strict:
        listed = first_names([f"{name} {tuple(checkpoint.tensors[name].shape)}" for name in others])
        raise WeightsError(
            f"{checkpoint.path}: tensors that the network lacks: {listed}; in a pipeline, strict: false ignores them"
        )
    if not is_complete:  # the caller reports all differences
        names = {**names, **{name: [name] for name in others}}
    arrays = {name: _to_array(checkpoint, sources) for name, sources in names.items()}
    _check_precision(checkpoint, names, expected)
    unread = [prefix for prefix in complete if prefix != chosen and _has_shapes(checkpoint, expected, complete[prefix])]
    incomplete = _incomplete(parts, expected) if chosen else []
    return StateDict(arrays, _notes(checkpoint, names, others, unread, incomplete))


def _below(checkpoint: Checkpoint, key: str) -> Checkpoint:
    start = f"{key}."
    tensors = {name.removeprefix(start): each for name, each in checkpoint.tensors.items() if name.startswith(start)}
    if not tensors:
        keys = list(dict.fromkeys(name.partition(".")[0] for name in checkpoint.tensors))
        problem = f"{checkpoint.path} has no tensors under {key!r}{nearest(key, keys)}"
        raise ConfigError(problem, key="model.checkpoint_key", allowed=first_names(keys))
    return replace(checkpoint, tensors=tensors, mappings={name: checkpoint.mappings[start + name] for name in tensors})


def _match(checkpoint: Checkpoint, expected: ExpectedTensors) -> _Parts:
    """Return for each prefix the network's tensors after it, and the names of each in the checkpoint.

    Names of wrappers are dropped if no prefix has all tensors with them.
    """
    exact = _match_names({name: name for name in checkpoint.tensors}, expected.first_names)
    if any(names.keys() == expected.shapes.keys() for names in exact.values()):
        return exact
    names = {_without_wrappers(name): name for name in checkpoint.tensors}
    first_names = {_without_wrappers(name): first for name, first in expected.first_names.items()}
    distinct = len(names) == len(checkpoint.tensors) and len(first_names) == len(expected.first_names)
    return _match_names(names, first_names) if distinct else exact


def _match_names(names: Mapping[str, str], first_names: Mapping[str, str]) -> _Parts:
    parts: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for shown, name in names.items():
        words = shown.split(".")
        for depth in range(len(words)):
            if first := first_names.get(".".join(words[depth:])):
                parts[".".join(words[:depth])].setdefault(first, []).append(name)
    return parts


def _without_wrappers(name: str) -> str:
    return ".".join(word for word in name.split(".") if word not in _WRAPPERS)


def _choose(checkpoint: Checkpoint, expected: ExpectedTensors, complete: _Parts) -> str:
    """Return the prefix of the part to read: the only one, the only one with the right shapes, or the whole."""
    fitting = [prefix for prefix, names in complete.items() if _has_shapes(checkpoint, expected, names)]
    prefixes = fitting or list(complete)
    if len(prefixes) > 1 and "" not in prefixes:
        raise WeightsError(
            f"{checkpoint.path}: several parts fit the network: {first_names(prefixes)}; "
            f"choose one in the section 'model' of a pipeline, such as checkpoint_key: {prefixes[0]}"
        )
    return "" if "" in prefixes else prefixes[0]


def _incomplete(parts: _Parts, expected: ExpectedTensors) -> list[str]:
    """Return the prefixes of parts with most names of the network, but not all: the user may mean one of them."""
    total = len(expected.shapes)
    return [prefix for prefix, names in parts.items() if total < 2 * len(names) < 2 * total]


def _has_shapes(checkpoint: Checkpoint, expected: ExpectedTensors, names: Mapping[str, list[str]]) -> bool:
    pairs = ((checkpoint.tensors[each].shape, expected.shapes[name]) for name in names for each in names[name])
    return all(
        len(shape) == len(target) and all(side in {None, own} for own, side in zip(shape, target, strict=True))
        for shape, target in pairs
    )


def _beside(checkpoint: Checkpoint, names: Mapping[str, list[str]]) -> list[str]:
    """Return the other tensors in the mappings that hold these; all tensors if there are none."""
    taken = {source for sources in names.values() for source in sources}
    mappings = {checkpoint.mappings[name] for name in taken or checkpoint.tensors}
    return [
        name
        for name in checkpoint.tensors
        if name not in taken and checkpoint.mappings[name] in mappings and not name.endswith(_COUNTERS)
    ]


def _to_array(checkpoint: Checkpoint, sources: Sequence[str]) -> NDArray[np.float32]:
    """Return the values of a tensor, which has several names in the checkpoint if layers share it."""
    try:
        array, *copies = (to_float32(source, checkpoint.tensors[source]) for source in sources)
    except WeightsError as error:
        raise WeightsError(f"{checkpoint.path}: {error}") from error
    if not all(np.array_equal(array, copy) for copy in copies):
        raise WeightsError(f"{checkpoint.path}: {' and '.join(sources)} differ, but are one tensor in the network")
    return array


def _check_precision(checkpoint: Checkpoint, names: Mapping[str, list[str]], expected: ExpectedTensors) -> None:
    """Check that weights are no levels of a quantized network, whose scales are elsewhere: bytes or whole numbers."""
    for name in (each for each in expected.shapes if each in names and each not in expected.integers):
        tensor = checkpoint.tensors[names[name][0]]
        if not tensor.is_floating_point() or tensor.itemsize == 1:
            raise WeightsError(
                f"{checkpoint.path}: {names[name][0]} holds {tensor.dtype}, not floating-point weights; convert the "
                "levels of a quantized network to its weights first"
            )


def _notes(
    checkpoint: Checkpoint,
    names: Mapping[str, list[str]],
    others: Sequence[str],
    unread: Sequence[str],
    incomplete: Sequence[str],
) -> tuple[str, ...]:
    tensors = (checkpoint.tensors[sources[0]] for sources in names.values())
    rounded = sum(each.dtype == torch.float64 and not torch.equal(each.float().double(), each) for each in tensors)
    notes = (
        f"ignoring {first_names(others)}" if others else "",
        f"not those under {first_names(unread)}, which also fit (checkpoint_key)" if unread else "",
        f"not those under {first_names(incomplete)}, which lack tensors of the network" if incomplete else "",
        f"{rounded} float64 tensors rounded to float32" if rounded else "",
    )
    return tuple(filter(None, notes))
