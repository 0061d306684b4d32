"""YAML with positions, so that every complaint names its file, line and key."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError

from compress.errors import ConfigError, nearest

Key = str | int

_MOST_BYTES = 1_000_000


@dataclass(frozen=True)
class Document:
    """A parsed YAML mapping and where its keys stand.

    Attributes:
        root: the mapping; overrides are already in it.
        file: where it was read from; None where it was built in Python.
        overridden: the keys that an override set, for messages.
    """

    root: CommentedMap
    file: Path | None = None
    overridden: frozenset[str] = frozenset()

    def error(self, keys: Sequence[Key], problem: str, allowed: str | None = None) -> ConfigError:
        """Return the error that names the place of a key."""
        dotted = ".".join(str(key) for key in keys)
        if any(dotted == name or dotted.startswith(f"{name}.") for name in self.overridden):
            return ConfigError(problem, file="--set", key=dotted or None, allowed=allowed)
        return ConfigError(problem, file=self.file, line=self._line(keys), key=dotted or None, allowed=allowed)

    def unknown(self, keys: Sequence[Key], names: Iterable[str]) -> ConfigError:
        """Return the error for a key (the last of `keys`) that is none of `names`."""
        known = list(names)
        return self.error(keys, f"unknown key{nearest(str(keys[-1]), known)}", ", ".join(known))

    def _line(self, keys: Sequence[Key]) -> int | None:
        """Return the line of the deepest of these keys that the file has."""
        node: Any = self.root
        line: int | None = None
        for key in keys:
            deeper = self.child(node, key)
            if deeper is None:
                break
            if isinstance(node, CommentedMap | CommentedSeq) and node.lc.data and key in node.lc.data:
                line = node.lc.data[key][0] + 1
            node = deeper
        return line

    def at(self, keys: Sequence[Key]) -> Any:
        """Return what stands at these keys, or None."""
        node: Any = self.root
        for key in keys:
            node = self.child(node, key)
        return node

    @staticmethod
    def child(node: Any, key: Key) -> Any:
        """Return what stands at one key of a mapping or one place of a list, or None."""
        if isinstance(node, Mapping):
            return node.get(key)
        if isinstance(node, list) and isinstance(key, int) and key < len(node):
            return node[key]
        return None

    def dump(self) -> str:
        """Return the document as YAML, comments kept."""
        stream = io.StringIO()
        _yaml().dump(self.root, stream)
        return stream.getvalue()


def read_document(file: Path, overrides: Iterable[str] = ()) -> Document:
    """Read a YAML mapping.

    Args:
        file: to read.
        overrides: `KEY=VALUE`, the key dotted (`data.validation.path`, `stages.0.bits`, or by a stage's name
            `stages.share.bits`), the value YAML.
    Raises:
        ConfigError: the file is missing or no YAML mapping, or an override cannot be applied.
    """
    try:
        text = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the pipeline: {error.strerror}", file=file) from error
    if len(text) > _MOST_BYTES:
        raise ConfigError(f"{len(text):,} bytes are too many for a pipeline", file=file)
    try:
        root = _yaml().load(text.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 text: {error}", file=file) from error
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(f"not YAML: {problem}", file=file, line=mark.line + 1 if mark else None) from error
    if not isinstance(root, CommentedMap):
        raise ConfigError("not a mapping of keys", file=file, line=1, allowed="model, data, stages, encode, goal, ...")
    names = []
    for override in overrides:
        names.append(_apply(root, override))
    return Document(root, file, frozenset(names))


def _yaml() -> YAML:
    yaml = YAML(typ="rt")
    yaml.width = 120
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _apply(root: CommentedMap, override: str) -> str:
    """Set one key; return its dotted name, stages by number."""
    name, equals, text = override.partition("=")
    if not equals or not name:
        raise ConfigError(f"{override!r} is no override", file="--set", allowed="KEY=VALUE, the key dotted")
    try:
        value = _yaml().load(text) if text else None
    except YAMLError as error:
        raise ConfigError(f"{text!r} is not YAML", file="--set", key=name) from error
    keys = name.split(".")
    node: Any = root
    places: list[Key] = []
    for depth, key in enumerate(keys):
        place = _place(node, key, name)
        places.append(place)
        if depth == len(keys) - 1:
            node[place] = value
        elif isinstance(node, CommentedMap):
            if not isinstance(node.get(place), CommentedMap | CommentedSeq):
                node[place] = CommentedMap()
            node = node[place]
        else:
            node = node[place]
    return ".".join(str(place) for place in places)


def _place(node: Any, key: str, name: str) -> Key:
    """Return the key as `node` knows it: a number, or a stage's name, in a list; itself in a mapping."""
    if isinstance(node, CommentedMap):
        return key
    if isinstance(node, CommentedSeq):
        names = [stage_name(item) for item in node]
        if key in names:
            return names.index(key)
        if key.isdecimal() and int(key) < len(node):
            return int(key)
        raise ConfigError(
            f"no stage {key!r}{nearest(key, names)}",
            file="--set",
            key=name,
            allowed=", ".join([*names, f"0 to {len(node) - 1}"]),
        )
    raise ConfigError("goes into a value that is no mapping", file="--set", key=name)


def stage_name(stage: object) -> str:
    """Return the name of a stage as the file gives it: its `name`, or its pass."""
    if not isinstance(stage, Mapping):
        return ""
    return str(stage.get("name") or stage.get("pass") or "")
