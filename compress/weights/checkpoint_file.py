"""Checkpoint files: tensors by name, read without running code.

A checkpoint of `torch.save` is a pickle. Torch's restricted unpickler rebuilds its tensors, and stand-ins without code
take the place of every other class or function that the pickle names.
"""

from __future__ import annotations

import json
import pickletools
import warnings
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING  # names of Python 2 in pickles, as torch reads them
from collections import OrderedDict, deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from compress.errors import WeightsError, first_names
from compress.networks.tensor_ownership import EXTRA_STATE
from compress.weights.foreign_files import SAVE_STATE, TORCH_BEFORE_1_6, foreign_problem

CHECKPOINT_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar", ".index.json")

_MAX_DEPTH, _MAX_ENTRIES = 16, 1 << 22
_OLD_PICKLES = 4


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The content of a checkpoint.

    Attributes:
        path: the file.
        tensors: by the keys on the way to them, joined by dots.
        mappings: of each tensor, the keys on the way to the mapping that holds it.
        extra_states: what modules returned in `get_extra_state`, by the keys on the way; tensors are not among them.
        metadata: text in a `.safetensors` file, or in attributes of a mapping in a `.pth` file.
        holds_network: it also holds a whole pickled network, which is not read.
    """

    path: Path
    tensors: Mapping[str, torch.Tensor]
    mappings: Mapping[str, str]
    extra_states: Mapping[str, object]
    metadata: Mapping[str, str]
    holds_network: bool


def is_checkpoint(path: Path) -> bool:
    """Return whether a file has a name of checkpoints, in small letters or capitals, or the content of one."""
    if path.name.lower().endswith(CHECKPOINT_SUFFIXES) or _is_safetensors(path):
        return True
    with path.open("rb") as stream:
        is_old = stream.read(len(TORCH_BEFORE_1_6)) == TORCH_BEFORE_1_6
    return is_old or (zipfile.is_zipfile(path) and not foreign_problem(path))


def read_checkpoint(path: Path) -> Checkpoint:
    """Read all tensors of a checkpoint, or of all its shards that a file `.index.json` lists.

    Raises:
        WeightsError: the file cannot be read without running code, or has no tensors.
    """
    if not is_checkpoint(path):
        problem = f"unknown format {path.suffix!r} (allowed: {', '.join(CHECKPOINT_SUFFIXES)})"
        raise WeightsError(f"{path}: {foreign_problem(path) or problem}")
    is_index = path.suffix.lower() == ".json"
    checkpoint = _flatten(path, _read_shards(path) if is_index else _read_file(path))
    if not checkpoint.tensors and not checkpoint.holds_network:
        raise WeightsError(f"{path}: holds no tensors by name; {SAVE_STATE}. Arrays of numpy are not read")
    return checkpoint


def _read_file(path: Path) -> object:
    """Return the object in a file; for `.safetensors`, a mapping."""
    try:
        return _read_safetensors(path) if _is_safetensors(path) else _read_pickle(path)
    except (MemoryError, WeightsError):
        raise
    except Exception as error:  # torch raises errors of many kinds for a damaged file
        problem = (
            f"not a readable .safetensors file: {error}"
            if isinstance(error, SafetensorError)
            else "not a readable state dictionary of tensors: it is damaged, holds objects with code, or is not of "
            f"torch.save; {SAVE_STATE}"
        )
        raise WeightsError(f"{path}: {foreign_problem(path) or problem}") from error


def _is_safetensors(path: Path) -> bool:
    """Return whether a file begins as one of safetensors, whatever its name: with the length of a header, and `{`."""
    with path.open("rb") as stream:
        start = stream.read(9)
    return start[8:] == b"{" or path.suffix.lower() == ".safetensors"


def _read_safetensors(path: Path) -> object:
    with safe_open(path, "pt") as file:
        state = OrderedDict((name, file.get_tensor(name)) for name in file.keys())  # noqa: SIM118  no mapping
        vars(state).update(file.metadata() or {})
    return state


def _read_pickle(path: Path) -> object:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():
                raise WeightsError(
                    f"{path}: is damaged: the checksum of {damaged} in it is wrong; copy or download it again. A file "
                    "saved without checksums, torch.serialization.set_crc32_options(False), must be saved again"
                )
        named = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    else:
        named = _names_in_old_file(path)
    with warnings.catch_warnings(), torch.serialization.safe_globals([_stand_in(name) for name in named]):
        warnings.simplefilter("ignore")  # torch's advice on pickles
        return torch.load(path, map_location="cpu", weights_only=True)


def _names_in_old_file(path: Path) -> list[str]:
    """Return the classes and functions that a file of torch before 1.6 names.

    Its first pickles are a number, a version, the sizes of types, and the object.
    """
    names = []
    with path.open("rb") as stream, suppress(ValueError, MemoryError, OverflowError):  # torch names the damage
        for opcode, argument, _ in chain.from_iterable(pickletools.genops(stream) for _ in range(_OLD_PICKLES)):
            if opcode.name == "GLOBAL":
                module, _, name = str(argument).partition(" ")
                module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
                names.append(f"{module}.{name}")
    return names


class _Mapping(torch.Tensor):
    """Stands in for a class in a pickle: takes its items and attributes, as all that the unpickler can fill.

    It may also be a subclass of tensors, which the unpickler makes of a plain one.
    """

    def __new__(cls, *_: object) -> Any:
        return OrderedDict()


class _List:
    """Stands in for a class that is filled as a list."""

    def __new__(cls, *_: object) -> Any:
        return []


class _Ignored:
    """Stands in for a class whose state is no mapping, such as those of numpy."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


_STAND_INS = {"collections.deque": _List, "functools.partial": _Ignored}


def _stand_in(name: str) -> type:
    module, _, last = name.rpartition(".")
    kind = _Ignored if module.partition(".")[0] == "numpy" else _STAND_INS.get(name, _Mapping)
    return type(last, (kind,), {"__module__": module, "__qualname__": last})


def _read_shards(path: Path) -> dict[str, object]:
    """Return the tensors of all files that an index lists."""
    try:
        shards: dict[str, str] = json.loads(path.read_text("utf-8"))["weight_map"]
        files = [path.parent / name for name in sorted(set(shards.values())) if Path(name).name == name]
        outside = set(shards.values()) - {file.name for file in files}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{path}: not an index of shards: expected 'weight_map', the file of each tensor") from error
    if absent := sorted({*outside, *(file.name for file in files if not file.is_file())}):
        raise WeightsError(f"{path}: no shard {', '.join(absent)} in {path.parent}")
    parts = {file.name: read_checkpoint(file).tensors for file in files if file.suffix.lower() != ".json"}
    if missing := sorted(name for name, file in shards.items() if name not in parts.get(file, {})):
        raise WeightsError(f"{path}: the shards lack {first_names(missing)}")
    return {name: parts[file][name] for name, file in shards.items()}  # a shard may have older copies of others


def _flatten(path: Path, state: object) -> Checkpoint:
    """Return all tensors in nested mappings and lists."""
    tensors: dict[str, torch.Tensor] = {}
    mappings: dict[str, str] = {}
    attributes: dict[str, object] = {}
    extra_states: dict[str, object] = {}
    waiting: deque[tuple[str, object, int]] = deque([("", state, 0)])
    visited = 0
    while waiting:
        prefix, node, depth = waiting.popleft()
        attributes.update(getattr(node, "__dict__", {}))
        for key, value in _items(node):
            name, visited = f"{prefix}{key}", visited + 1
            if depth > _MAX_DEPTH or visited > _MAX_ENTRIES:
                raise WeightsError(f"{path}: its mappings are nested too deeply; {SAVE_STATE}")
            if isinstance(value, torch.Tensor) and not value.is_nested:  # which has no shape
                if name in tensors:
                    raise WeightsError(f"{path}: two tensors are named {name}; {SAVE_STATE}")
                plain = value.as_subclass(torch.Tensor) if isinstance(value, _Mapping) else value
                tensors[name], mappings[name] = plain, prefix
            else:
                if name.endswith(EXTRA_STATE):
                    extra_states[name] = value
                waiting.append((f"{name}.", value, depth + 1))
    metadata = {key: text for key, text in attributes.items() if isinstance(text, str)}
    return Checkpoint(path, tensors, mappings, extra_states, metadata, "_modules" in attributes)


def _items(node: object) -> list[tuple[object, object]]:
    if isinstance(node, Mapping):
        return list(node.items())
    return list(enumerate(node)) if isinstance(node, list | tuple) else []
