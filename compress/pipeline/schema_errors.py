"""Values of a pipeline file against the dataclass that they become; the first fault, in the file's own words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError
from ruamel.yaml.scalarbool import ScalarBoolean

from compress.errors import ConfigError, nearest
from compress.pipeline.yaml_document import Document, Key, has

_UNKNOWN = {"unexpected_keyword_argument", "extra_forbidden"}
_KINDS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping of keys",
}
_MOST_SHOWN = 80


def checked(
    document: Document, keys: Sequence[Key], kind: Any, value: object, also: Sequence[str] = (), owner: str = ""
) -> Any:
    """Check a value against a type.

    Args:
        document: where the value stands.
        keys: that lead to it.
        kind: a dataclass, or an annotated type.
        value: as YAML gave it.
        also: keys that may stand beside the fields of `kind`; they are not in `value`.
        owner: what decided that it is this `kind`, for messages: `source 'digits'`.
    Returns:
        a `kind`.
    Raises:
        ConfigError: says where the first fault is, and what is allowed there.
    """
    adapter = TypeAdapter(kind)
    try:
        # As JSON, in strict mode: `true` is no number and "5" is text, but a list may become a tuple and text a path.
        return adapter.validate_json(json.dumps(_plain(value)), strict=True)
    except ValidationError as error:
        raise _first_fault(document, keys, adapter.json_schema(), error, also, owner) from error


def _plain(value: object) -> object:
    """Turn what the YAML reader gives into what JSON knows; the document's extent is limited already."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, ScalarBoolean):
        return bool(value)
    if value is None or isinstance(value, int | float):
        return value
    return str(value)


def _first_fault(
    document: Document,
    keys: Sequence[Key],
    schema: Mapping[str, Any],
    error: ValidationError,
    also: Sequence[str],
    owner: str,
) -> ConfigError:
    faults = [(fault, _path_in_file(fault["loc"], document.at(keys))) for fault in error.errors()]
    # An unknown key explains a missing one. Of a union's complaints, the deepest is about what was meant.
    fault, path = min(faults, key=lambda found: (found[0]["type"] not in _UNKNOWN, -len(found[1])))
    if fault["type"] in _UNKNOWN:
        names = [*(also if len(path) == 1 else ()), *_keys(_schema_at(schema, path[:-1]), schema, fault["loc"])]
        return unknown_key(document, [*keys, *path], names, owner if len(path) == 1 else "")
    if fault["type"] == "union_tag_invalid":
        tag, tags = fault["ctx"]["tag"], fault["ctx"]["expected_tags"].replace("'", "")
        return document.error([*keys, *path, "source"], f"no source {tag!r}{nearest(tag, tags.split(', '))}", tags)
    if fault["type"] == "value_error":
        return document.error([*keys, *path], str(fault["msg"]).removeprefix("Value error, "))
    there = _schema_at(schema, path)
    if fault["type"] == "missing":
        return document.error([*keys, *path], "this key is missing", _allowed(there, schema))
    return document.error([*keys, *path], _cannot_be(fault["input"], there), _allowed(there, schema))


def unknown_key(document: Document, keys: Sequence[Key], names: Iterable[str], owner: str = "") -> ConfigError:
    """Return the error for a key (the last of `keys`) that is none of `names`."""
    known = list(dict.fromkeys(names))
    of = f" of {owner}" if owner else ""
    return document.error(keys, f"unknown key{of}{nearest(str(keys[-1]), known)}", ", ".join(known) or "none")


def _path_in_file(loc: Sequence[Key], node: Any) -> list[Key]:
    """Keep of pydantic's path what the file has too (it names the members of unions as well), and a missing key."""
    path: list[Key] = []
    for place, key in enumerate(loc):
        if has(node, key):
            path.append(key)
            node = node[key]
        elif place == 0 or (place == len(loc) - 1 and isinstance(node, Mapping)):
            path.append(key)
    return path


def _schema_at(schema: Mapping[str, Any], path: Sequence[Key]) -> Mapping[str, Any]:
    """Return the part of a JSON schema that is about a path."""
    node = schema
    for key in path:
        choices = _choices(node, schema)
        inside = (choice.get("properties", {}).get(key, choice.get("additionalProperties")) for choice in choices)
        items = (choice.get("items") for choice in choices)
        found = items if isinstance(key, int) else inside
        node = _followed(next((part for part in found if isinstance(part, Mapping)), {}), schema)
    return node


def _choices(node: Mapping[str, Any], schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what a value may be, one in the other where choices are among choices."""
    node = _followed(node, schema)
    among = node.get("anyOf") or node.get("oneOf")
    return [each for choice in among for each in _choices(choice, schema)] if among else [node]


def _followed(node: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a reference refers to."""
    name = str(node.get("$ref", "")).rpartition("/")[2]
    definition: Mapping[str, Any] = schema["$defs"][name] if name else node
    return definition


def _keys(node: Mapping[str, Any], schema: Mapping[str, Any], loc: Sequence[Key]) -> list[str]:
    """Return the keys that a mapping may have; where it may be one of several kinds, of those that `loc` names."""
    kinds = [choice.get("properties", {}) for choice in _choices(node, schema)]
    meant = [kind for kind in kinds if kind.get("source", {}).get("const") in loc] if len(kinds) > 1 else kinds
    return [key for kind in meant for key in kind]


def _allowed(node: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Return in words what a part of a schema allows."""
    choices = _choices(node, schema)
    if len(choices) > 1:
        allowed = (_allowed(choice, schema) for choice in choices if choice.get("type") != "null")
        return " or ".join(dict.fromkeys(allowed))
    if names := _names(node):
        return ", ".join(names)
    if "properties" not in node and "description" in node:
        return str(node["description"])
    kind = _KINDS.get(node.get("type", ""), "another kind of value")
    return ", ".join([kind, *([_range(node)] if _range(node) else [])])


def _names(node: Mapping[str, Any]) -> list[str]:
    return [str(name) for name in node.get("enum", [node["const"]] if "const" in node else [])]


def _range(node: Mapping[str, Any]) -> str:
    if "minimum" in node and "maximum" in node:
        return f"{node['minimum']:,} to {node['maximum']:,}"
    words = {"minimum": "at least", "exclusiveMinimum": "more than", "maximum": "at most", "exclusiveMaximum": "below"}
    return ", ".join(f"{text} {node[name]:,}" for name, text in words.items() if name in node)


def _cannot_be(value: object, node: Mapping[str, Any]) -> str:
    if isinstance(value, Mapping):
        return "cannot be a mapping"
    if isinstance(value, list):
        return "cannot be a list"
    if value is None:
        return "cannot be empty"
    shown = str(value).lower() if isinstance(value, bool) else repr(value)
    shown = shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]}..."
    return f"cannot be {shown}{nearest(str(value), _names(node))}"
