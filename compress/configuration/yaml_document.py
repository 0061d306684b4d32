"""A pipeline file as a YAML document: its values, the overrides applied to them, and errors that name file and line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark
from ruamel.yaml.tokens import CommentToken

from compress.configuration.key_paths import Key, has_key, join_keys, resolve_key, split_key, stage_name, value_at
from compress.configuration.yaml_text import (
    check_extent,
    dump_yaml,
    expand_aliases,
    parse_yaml,
    parse_yaml_value,
    read_text,
)
from compress.errors import ConfigError, nearest

SECTIONS = ("model", "data", "stages", "encode", "goal", "report", "search", "seed")


@dataclass(frozen=True)
class Document:
    """A YAML mapping with overrides.

    Attributes:
        root: the mapping, overrides applied.
        file: its path.
        text: the file as read.
        overrides: as given, `KEY=VALUE`.
        overridden: the keys that overrides set: dotted path with stage indices -> as the user wrote it.
    """

    root: CommentedMap
    file: Path
    text: str
    overrides: tuple[str, ...] = ()
    overridden: Mapping[str, str] = field(default_factory=dict)

    def error(self, keys: Sequence[Key], problem: str, allowed: str | None = None) -> ConfigError:
        """Return the error at a path. It names the line in the file, or the override that set the value."""
        dotted = join_keys(keys)
        for path, written in self.overridden.items():
            if dotted == path or dotted.startswith(f"{path}."):
                return ConfigError(problem, file="--set", key=written + dotted[len(path) :], allowed=allowed)
        # An override beside or below the value may be what makes it wrong.
        near = f"{join_keys(keys[:-1] or keys)}."
        causes = [f"--set {written}" for path, written in self.overridden.items() if path.startswith(near)]
        problem += f" (with {', '.join(causes)})" if causes else ""
        line, column = self._position(keys)
        return ConfigError(problem, file=self.file, line=line, column=column, key=dotted or None, allowed=allowed)

    @contextmanager
    def locating_errors(self, *above: Key) -> Iterator[None]:
        """Add file and line to a `ConfigError` of the block; its key is relative to the path `above`."""
        try:
            yield
        except ConfigError as error:
            keys = [*above, *(resolve_key(self.at(above), error.key) if error.key else ())]
            raise self.error(keys, error.problem, error.allowed) from error

    def at(self, keys: Iterable[Key]) -> Any:
        """Return the value at a path; None where the path does not exist."""
        return value_at(self.root, keys)

    def path_of(self, dotted: str) -> list[Key]:
        """Return the path of a dotted key; a stage's name becomes its index."""
        return resolve_key(self.root, dotted)

    def with_overrides(self, overrides: Iterable[str]) -> Document:
        """Return the document with more values replaced, `KEY=VALUE` each.

        Raises:
            ConfigError: a key does not exist or a value is not YAML.
        """
        # The text is parsed again: a copy of the parsed document puts comments before a list where YAML forbids them.
        root, given = parse_yaml(self.text, self.file), (*self.overrides, *overrides)
        expand_aliases(root)
        overridden: dict[str, str] = {}
        for override in given:
            overridden.update(_apply(root, override))
        return replace(self, root=root, overrides=given, overridden=overridden)

    def dump(self) -> str:
        """Return the document as YAML, comments included."""
        return dump_yaml(self.root)

    def _position(self, keys: Sequence[Key]) -> tuple[int | None, int | None]:
        """Return line and column of the deepest key of the path that the file has."""
        node: Any = self.root
        position: tuple[int | None, int | None] = None, None
        for key in keys:
            if not has_key(node, key):
                break
            if isinstance(node, CommentedMap | CommentedSeq) and node.lc.data and key in node.lc.data:
                line, column = node.lc.data[key][:2]
                position = line + 1, column + 1
            node = node[key]
        return position


def read_document(file: Path, overrides: Iterable[str] = ()) -> Document:
    """Read a YAML mapping.

    Args:
        file: to read.
        overrides: `KEY=VALUE` with a dotted key (`stages.0.bits`, or by the stage's name `stages.share.bits`) and a
            YAML value. A new key that contains dots needs quotes: `stages.share.layers."classifier.1.weight"=5`.
    Raises:
        ConfigError: the file is missing or no YAML mapping, or an override does not apply.
    """
    return parse_document(read_text(file), file, overrides)


def parse_document(text: str, file: Path, overrides: Iterable[str] = ()) -> Document:
    """Parse a YAML mapping; `file` names it in errors. See `read_document`."""
    root = parse_yaml(text, file)
    if not isinstance(root, CommentedMap):
        raise ConfigError("not a mapping of keys", file=file, line=1, allowed=", ".join(SECTIONS))
    check_extent(root, file)
    document = Document(root, file, text)
    return document.with_overrides(given) if (given := tuple(overrides)) else document


def _apply(root: CommentedMap, override: str) -> dict[str, str]:
    """Set the value of one override; return its dotted path and the key as the user wrote it."""
    written, equals, text = override.partition("=")
    if not equals or not all(split_key(written)):
        raise ConfigError(f"{override!r} is not an override", file="--set", allowed="KEY=VALUE with a dotted key")
    value = parse_yaml_value(text, written)
    keys = resolve_key(root, written)
    node: Any = root
    below = ""
    for depth, key in enumerate(keys[:-1]):
        _check_index(node, key, written)
        if isinstance(node, CommentedMap) and node.get(key) is None:
            below = below or _take_comment_below(node, key)
            node[key] = CommentedMap()
        node = node[key]
        if not isinstance(node, CommentedMap | CommentedSeq):
            raise ConfigError(f"{join_keys(keys[: depth + 1])} contains no keys", file="--set", key=written)
    _check_index(node, keys[-1], written)
    below = below or _take_comment_below(node, keys[-1])
    node[keys[-1]] = value
    if below:
        node.ca.items[keys[-1]] = [None, None, CommentToken(below, CommentMark(0), None), None]
    return {join_keys(keys): written}


def _take_comment_below(node: CommentedMap | CommentedSeq, key: Key) -> str:
    """Remove the blank lines and comments below a mapping that gets a new key, and return them; empty: none.

    ruamel keeps them with the last key in the mapping, so that they would be above the new key.
    """
    if isinstance(node, CommentedSeq) or key in node:
        return ""
    last: Any = node
    while isinstance(last, CommentedMap | CommentedSeq) and last:
        end, place = (next(reversed(last)), 2) if isinstance(last, CommentedMap) else (len(last) - 1, 0)
        if token := (last.ca.items.get(end) or {place: None})[place]:
            of_line, newline, below = token.value.partition("\n")
            token.value = of_line + newline
            return newline + below if below else ""
        last = last[end]
    return ""


def _check_index(node: Any, key: Key, written: str) -> None:
    if not isinstance(node, CommentedSeq) or has_key(node, key):
        return
    names = [str(name) for name in map(stage_name, node) if name]
    indices = [f"0 to {len(node) - 1}"] if len(node) else []
    allowed = ", ".join([*names, *indices]) or "none: the list is empty"
    raise ConfigError(f"there is no {key!r}{nearest(str(key), names)}", file="--set", key=written, allowed=allowed)
