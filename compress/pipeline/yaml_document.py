"""YAML with positions, so that every complaint names its file, line and key."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import YAMLError
from ruamel.yaml.reader import ReaderError

from compress.errors import ConfigError, nearest

Key = str | int

_MOST_BYTES = 100_000
_MOST_VALUES = 10_000
_MOST_DEPTH = 50
_SECTIONS = "model, data, stages, encode, goal, search, seed"
_PART = re.compile(r""""[^"]*"|'[^']*'|[^.]*""")


@dataclass(frozen=True)
class Document:
    """A parsed YAML mapping and where its keys stand.

    Attributes:
        root: the mapping; overrides are already in it.
        file: where it was read from.
        text: of the file, as it was read.
        overrides: as they were given, `KEY=VALUE`.
        overridden: the keys that an override set, dotted, stages by number; each as the user wrote it.
    """

    root: CommentedMap
    file: Path
    text: str
    overrides: tuple[str, ...] = ()
    overridden: Mapping[str, str] = field(default_factory=dict)

    def error(self, keys: Sequence[Key], problem: str, allowed: str | None = None) -> ConfigError:
        """Return the error that names the place of a key: its line in the file, or the override that set it."""
        dotted = _dotted(keys)
        for name, written in self.overridden.items():
            if dotted == name or dotted.startswith(f"{name}."):
                return ConfigError(problem, file="--set", key=written + dotted[len(name) :], allowed=allowed)
        # What stands in the file may be wrong only because of an override beside or below it.
        near = [_dotted(keys), *([_dotted(keys[:-1])] if len(keys) > 1 else [])]
        by = [f"--set {written}" for name, written in self.overridden.items() if name.startswith(tuple(_inside(near)))]
        problem += f" (with {', '.join(by)})" if by else ""
        return ConfigError(problem, file=self.file, line=self._line(keys), key=dotted or None, allowed=allowed)

    def located(self, error: ConfigError, *above: Key) -> ConfigError:
        """Return an error that knows only its key as one that knows file and line too.

        Args:
            error: raised by whoever was given the value; its key is relative to `above`.
            above: the keys that lead there.
        """
        problem = str(error).removeprefix(f"{error.key}: ")
        keys = [*above]
        if error.key:
            keys += resolved(self.at(above), parts_of(error.key))
        return self.error(keys, problem)

    def _line(self, keys: Sequence[Key]) -> int | None:
        """Return the line of the deepest of these keys that the file has."""
        node: Any = self.root
        line: int | None = None
        for key in keys:
            if not has(node, key):
                break
            if isinstance(node, CommentedMap | CommentedSeq) and node.lc.data and key in node.lc.data:
                line = node.lc.data[key][0] + 1
            node = node[key]
        return line

    def at(self, keys: Sequence[Key]) -> Any:
        """Return what stands at these keys, or None."""
        node: Any = self.root
        for key in keys:
            node = node[key] if has(node, key) else None
        return node

    def with_overrides(self, overrides: Iterable[str]) -> Document:
        """Return the document with more values replaced, each given as `KEY=VALUE`.

        Raises:
            ConfigError: an override cannot be applied.
        """
        # Read again and not copied: of a copy's comments, those before a list end up where they are no YAML.
        root, given = _parsed(self.text, self.file), (*self.overrides, *overrides)
        overridden: dict[str, str] = {}
        for override in given:
            overridden.update(_apply(root, override))
        return replace(self, root=root, overrides=given, overridden=overridden)

    def dump(self) -> str:
        """Return the document as YAML, comments kept."""
        stream = io.StringIO()
        _yaml().dump(self.root, stream)
        return stream.getvalue()


def has(node: Any, key: Key) -> bool:
    """Say whether something stands at a key of a mapping, or a place of a list."""
    if isinstance(node, Mapping):
        return key in node
    return isinstance(node, list) and isinstance(key, int) and 0 <= key < len(node)


def stage_name(stage: object) -> object:
    """Return the name of a stage as the file gives it: its `name`, or its pass."""
    if not isinstance(stage, Mapping):
        return None
    return stage["name"] if "name" in stage else stage.get("pass")


def read_document(file: Path, overrides: Iterable[str] = ()) -> Document:
    """Read a YAML mapping.

    Args:
        file: to read.
        overrides: `KEY=VALUE`, the key dotted (`data.validation.path`, `stages.0.bits`, or by a stage's name
            `stages.share.bits`), the value YAML. Where the file has a key with dots in it, it needs no quotes; a new
            one does: `stages.share.layers."classifier.1.weight"=5`.
    Raises:
        ConfigError: the file is missing or no YAML mapping, or an override cannot be applied.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read the pipeline: {error.strerror}", file=file) from error
    if len(data) > _MOST_BYTES:
        raise ConfigError(f"too long for a pipeline (allowed: up to {_MOST_BYTES:,} bytes)", file=file)
    text = _decoded(data, file)
    root = _parsed(text, file)
    if not isinstance(root, CommentedMap):
        raise ConfigError("not a mapping of keys", file=file, line=1, allowed=_SECTIONS)
    _check_extent(root, file)
    document = Document(root, file, text)
    return document.with_overrides(given) if (given := tuple(overrides)) else document


def _decoded(data: bytes, file: Path) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = f"not UTF-8 text: the byte 0x{data[error.start]:02x}; save the file as UTF-8"
        raise ConfigError(problem, file=file, line=line) from error


def _parsed(text: str, file: Path) -> Any:
    try:
        return _yaml().load(text)
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(
            f"the character {text[error.position]!r} has no place in YAML", file=file, line=line
        ) from error
    except DuplicateKeyError as error:
        # Its message is `found duplicate key "x" with value ... (original value: ...)`: whole sections, perhaps.
        found = re.search(r'duplicate key "(.*?)"', str(error.problem))
        raise ConfigError("this key stands here a second time", file=file, line=error.problem_mark.line + 1,
                          key=found[1] if found else None) from error  # fmt: skip
    except YAMLError as error:
        problem, line_at = _yaml_fault(error)
        raise ConfigError(f"not YAML: {problem}", file=file, line=line_at) from error
    except RecursionError:
        raise ConfigError("nested too deep for a pipeline", file=file) from None


def _yaml_fault(error: YAMLError) -> tuple[str, int | None]:
    """Return what the parser found, and where; of what is never closed, where it begins."""
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    context, begin, mark = (getattr(error, name, None) for name in ("context", "context_mark", "problem_mark"))
    if context and begin:
        problem = f"{context} that begins in line {begin.line + 1}, {problem}"
    at_end = mark is not None and mark.index >= len((mark.buffer or "").rstrip("\0 \n"))
    mark = begin if begin and at_end else mark
    return problem, mark.line + 1 if mark else None


def _check_extent(root: Any, place: Path | str) -> None:
    """Refuse what aliases make endless, or large beyond use (ten lines can stand for a billion values)."""
    left = _MOST_VALUES
    pending = [(root, 0)]
    while pending:
        node, depth = pending.pop()
        left -= 1
        if left < 0 or depth > _MOST_DEPTH:
            raise ConfigError("too many values for a pipeline; does an alias (*) repeat much?", file=place)
        inside = node.values() if isinstance(node, Mapping) else node if isinstance(node, list) else ()
        pending += [(deeper, depth + 1) for deeper in inside]


def _yaml() -> YAML:
    yaml = YAML(typ="rt")
    yaml.width = 120
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _apply(root: CommentedMap, override: str) -> dict[str, str]:
    """Set one key; return its dotted name, stages by number, and as the user wrote it."""
    written, equals, text = override.partition("=")
    parts = parts_of(written)
    if not equals or not all(parts):
        raise ConfigError(f"{override!r} is no override", file="--set", allowed="KEY=VALUE, the key dotted")
    try:
        value = _yaml().load(text) if text else None
    except (YAMLError, RecursionError) as error:
        raise ConfigError(f"{text!r} is not YAML", file="--set", key=written) from error
    _check_extent(value, "--set")
    keys = resolved(root, parts)
    node: Any = root
    for depth, key in enumerate(keys[:-1]):
        _check_place(node, key, written)
        if isinstance(node, CommentedMap) and node.get(key) is None:
            node[key] = CommentedMap()
        node = node[key]
        if not isinstance(node, CommentedMap | CommentedSeq):
            raise ConfigError(f"{_dotted(keys[: depth + 1])} has no keys in it", file="--set", key=written)
    _check_place(node, keys[-1], written)
    node[keys[-1]] = value
    return {_dotted(keys): written}


def resolved(root: Any, parts: Sequence[str]) -> list[Key]:
    """Return the keys that the parts of a dotted name stand for.

    In a list a part is a place or a stage's name. In a mapping it is a key, and where the mapping has a key with dots
    in it (`classifier.1.weight`) that begins here, that key.
    """
    keys: list[Key] = []
    node, left = root, list(parts)
    while left:
        taken, key = _first_key(node, left)
        keys.append(key)
        node = node[key] if has(node, key) else None
        left = left[taken:]
    return keys


def _first_key(node: Any, parts: Sequence[str]) -> tuple[int, Key]:
    """Return the first key, and how many parts it takes up."""
    if isinstance(node, list):
        names = [stage_name(item) for item in node]
        if parts[0] in names:
            return 1, names.index(parts[0])
        return 1, int(parts[0]) if parts[0].isdecimal() else parts[0]
    if isinstance(node, Mapping):
        for count in range(len(parts), 1, -1):
            if ".".join(parts[:count]) in node:
                return count, ".".join(parts[:count])
    return 1, parts[0]


def _check_place(node: Any, key: Key, written: str) -> None:
    if not isinstance(node, CommentedSeq) or has(node, key):
        return
    names = [str(name) for name in map(stage_name, node) if name]
    places = [f"0 to {len(node) - 1}"] if len(node) else []
    allowed = ", ".join([*names, *places]) or "none: the list is empty"
    raise ConfigError(f"there is no {key!r}{nearest(str(key), names)}", file="--set", key=written, allowed=allowed)


def parts_of(dotted: str) -> list[str]:
    """Return the parts of a dotted key; a part in quotes may have dots in it."""
    parts: list[str] = []
    at = 0
    while at <= len(dotted):
        match = _PART.match(dotted, at)
        assert match is not None  # it matches nothing, too
        parts.append(match[0].strip("\"'"))
        at = match.end() + 1
    return parts


def _dotted(keys: Iterable[Key]) -> str:
    return ".".join(str(key) for key in keys)


def _inside(names: Iterable[str]) -> list[str]:
    return [f"{name}." for name in names if name]
