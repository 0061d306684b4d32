"""YAML text to nested values that know their lines, with limits that no pipeline file needs to exceed."""

from __future__ import annotations

import copy
import io
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq, merge_attrib
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode
from ruamel.yaml.reader import ReaderError

from compress.configuration.key_paths import Key, join_keys, split_key
from compress.errors import ConfigError

_MAX_BYTES = 100_000
_MAX_VALUES = 10_000
_MAX_DEPTH = 50
_MAX_BITS = 1_024
"""Maximum bits of a whole number: as many as a float allows. Python refuses to print much longer ones."""

_NO_VALUE = "no value; check for an unset variable, or write null for none"
"""A key without a value is null in YAML, but an unset variable or a mistake more often than a wish."""

_DECIMAL_COMMA = "no value; a comma ends a value, so write numbers with a point, as 0.5"
"""Problem of `{pass: prune, sparsity: 0,5}`, whose last key is 5."""

_STANDARD = "tag:yaml.org,2002:"
_TAGS = frozenset("str int float bool null map seq omap merge timestamp value".split())  # noqa: SIM905
"""Standard tags of the values that a pipeline can have. The parser would ignore others, such as `!kB 500`."""


_ARGS = ("model", "args")
_TRUTH_WORDS = frozenset(["yes", "no", "on", "off"])
"""Truth values of YAML 1.1. They are text in YAML 1.2, and the text `no` counts as true in Python."""


class _Place(NamedTuple):
    """The path and the line of a node."""

    keys: tuple[Key, ...]
    line: int


def read_text(file: Path) -> str:
    """Return the text of a file.

    Raises:
        ConfigError: the file is unreadable, too long or not UTF-8.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read the pipeline: {error.strerror}", file=file) from error
    if len(data) > _MAX_BYTES:
        raise ConfigError(f"the pipeline file is too long (allowed: up to {_MAX_BYTES:,} bytes)", file=file)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = f"not UTF-8: the byte 0x{data[error.start]:02x}; save the file as UTF-8"
        raise ConfigError(problem, file=file, line=line) from error


def parse_yaml(text: str, file: Path) -> Any:
    """Return the content of a YAML file.

    Raises:
        ConfigError: the text is not YAML, or a key of a section has no value; says the line.
    """
    try:
        node, root = _parse(text)
    except ReaderError as error:
        problem = f"the character {text[error.position]!r} is not allowed in YAML"
        raise ConfigError(problem, file=file, line=text.count("\n", 0, error.position) + 1) from error
    except DuplicateKeyError as error:
        # The message also quotes both values, which can be whole sections.
        key = re.search(r'duplicate key "(.*?)"', str(error.problem))
        line, name = error.problem_mark.line + 1, key[1] if key else None
        raise ConfigError("duplicate key", file=file, line=line, key=name) from error
    except YAMLError as error:
        problem, at = _syntax_error(error)
        raise ConfigError(f"not YAML: {problem}", file=file, line=at) from error
    except RecursionError:
        raise ConfigError("values are nested too deep", file=file) from None
    except _UnreadableValue as error:
        raise ConfigError(str(error), file=file) from error
    for place, problem in _problems(node):
        if problem != _NO_VALUE or len(place.keys) > 1:  # an empty section has the default values
            raise ConfigError(problem, file=file, line=place.line, key=join_keys(place.keys) or None)
    return root


def parse_yaml_value(text: str, key: str) -> Any:
    """Return the value of an override; `key` names it in errors.

    Raises:
        ConfigError: the text is not YAML, has a comment, or no value, as an unset variable of a shell leaves it.
    """
    try:
        node, value = _parse(text)
    except (YAMLError, _UnreadableValue, RecursionError) as error:
        problem = f"{text!r} is not YAML; a text with special characters needs quotes, '\"...\"'"
        raise ConfigError(problem, file="--set", key=key) from error
    if node and (comment := text[node.end_mark.index :].strip()):
        problem = f"{comment!r} is a comment in YAML; a value with '#' needs quotes, '\"...\"'"
        raise ConfigError(problem, file="--set", key=key)
    for place, problem in _problems(node, tuple(split_key(key))):
        raise ConfigError(problem, file="--set", key=join_keys([key, *place.keys]))
    check_extent(value, "--set")
    return value


class _UnreadableValue(ValueError):
    """The parser cannot read a value, and fails without the line."""


def _parse(text: str) -> tuple[Node | None, Any]:
    """Return the nodes and the values of a text.

    Raises:
        YAMLError: the text is not YAML.
        RecursionError: values are nested too deep.
        _UnreadableValue: a value is not what its tag or its form says.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ReusedAnchorWarning)  # YAML allows it
        try:
            return _yaml().compose(text), _yaml().load(text)
        except (YAMLError, RecursionError):
            raise
        except (ValueError, LookupError) as error:
            problem = f"a number, a date or a tag cannot be read: {error}; a text that looks like one needs quotes"
            raise _UnreadableValue(problem) from error
        except Exception as error:  # of many kinds, such as AttributeError for an anchor that merges itself
            raise _UnreadableValue("a tag (!) or a merge (<<) is not allowed where it is; leave it out") from error


def dump_yaml(root: Any) -> str:
    """Return parsed values as YAML, comments included."""
    stream = io.StringIO()
    _yaml().dump(root, stream)
    return stream.getvalue()


def check_extent(root: Any, file: Path | str) -> None:
    """Refuse cycles and expansions of aliases: ten lines can stand for a billion values.

    Raises:
        ConfigError: there are too many values, or they are nested too deep.
    """
    left = _MAX_VALUES
    pending = [(root, 0)]
    while pending:
        node, depth = pending.pop()
        left -= 1
        if left < 0 or depth > _MAX_DEPTH:
            raise ConfigError("too many values for a pipeline; check its aliases (*)", file=file)
        keys = node if isinstance(node, Mapping) else ()
        if any(isinstance(each, int) and each.bit_length() > _MAX_BITS for each in (node, *keys)):
            raise ConfigError("a number has too many digits", file=file)
        inside = node.values() if isinstance(node, Mapping) else node if isinstance(node, list) else ()
        pending += [(value, depth + 1) for value in inside]


def expand_aliases(root: Any) -> None:
    """Replace aliases (`*`) and merges (`<<`) in a parsed document by copies, so that each value has one place."""
    _expand(root, set())


def _expand(node: Any, seen: set[int]) -> None:
    for key, child in list(node.items() if isinstance(node, CommentedMap) else enumerate(node)):
        own = child
        if anchor := getattr(child, "anchor", None):
            anchor.value = None
        if isinstance(child, CommentedMap | CommentedSeq):
            own = copy.deepcopy(child) if id(child) in seen else child
            seen.add(id(own))
            _expand(own, seen)
        node[key] = own  # also makes a merged key the mapping's own
    if hasattr(node, merge_attrib):
        delattr(node, merge_attrib)


def _problems(root: Node | None, above: tuple[Key, ...] = ()) -> Iterator[tuple[_Place, str]]:
    """Yield keys of mappings without a value, or the root without one, and values that mean nothing or something else.

    The path `above` leads to the root. Options have types; the arguments of a user's function take any value.
    """
    for place, node in _nodes(root):
        in_list = place.keys and isinstance(place.keys[-1], int)
        tag = _STANDARD + "null" if node is None else str(node.tag)
        if tag.removeprefix(_STANDARD) not in _TAGS:
            problem = f"the tag '{tag.replace(_STANDARD, '!!')}' means nothing in a pipeline"
            yield place, f"{problem}; leave it out, or put a text that starts with '!' in quotes"
        elif node is None or (tag == _STANDARD + "null" and not node.value and not in_list):
            is_number = bool(place.keys) and str(place.keys[-1]).isdecimal()
            yield place, _DECIMAL_COMMA if is_number and not in_list else _NO_VALUE
        elif _is_truth_word(node) and (*above, *place.keys)[: len(_ARGS)] == _ARGS:
            yield place, f"{node.value} is text in YAML 1.2; write true or false, or put the text in quotes"


def _is_truth_word(node: Node) -> bool:
    """Return whether a value is a truth value of YAML 1.1 without quotes."""
    is_plain_text = isinstance(node, ScalarNode) and node.style is None and node.tag == f"{_STANDARD}str"
    return is_plain_text and str(node.value).lower() in _TRUTH_WORDS


def _nodes(root: Node | None) -> Iterator[tuple[_Place, Node | None]]:
    """Yield all nodes of a document, in its order."""
    pending: list[tuple[_Place, Node | None]] = [(_Place((), 1), root)]
    seen: set[int] = set()
    while pending:
        place, node = pending.pop()
        yield place, node
        if isinstance(node, CollectionNode) and id(node) not in seen:  # aliases can make cycles
            seen.add(id(node))
            is_map = isinstance(node, MappingNode)
            pairs = node.value if is_map else [(each, each) for each in node.value]
            for index, (key, value) in reversed(list(enumerate(pairs))):
                inside = (*place.keys, str(key.value) if is_map else index)
                pending.append((_Place(inside, key.start_mark.line + 1), value))


def _syntax_error(error: YAMLError) -> tuple[str, int | None]:
    """Return the parser's message and the line; for an unclosed construct, the line where it starts."""
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    context, start, mark = (getattr(error, name, None) for name in ("context", "context_mark", "problem_mark"))
    if context and start:
        problem = f"{context} that starts in line {start.line + 1}, {problem}"
    at_end = mark is not None and mark.index >= len((mark.buffer or "").rstrip("\0 \n"))
    mark = start if start and at_end else mark
    return problem, mark.line + 1 if mark else None


def _yaml() -> YAML:
    yaml = YAML(typ="rt")
    yaml.width = sys.maxsize  # long lines stay as they are
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml
