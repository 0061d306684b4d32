"""Validation of YAML values against dataclasses; the first error, in the terms of the pipeline file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml.scalarbool import ScalarBoolean

from compress.configuration.key_paths import Key, has_key
from compress.configuration.renamed_keys import suggestion
from compress.configuration.yaml_document import Document
from compress.errors import ConfigError

Schema = Mapping[str, Any]

_UNKNOWN_KEY = {"unexpected_keyword_argument", "extra_forbidden"}
_TYPES = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping of keys",
}
_LIMITS = {"minimum": "at least", "exclusiveMinimum": "more than", "maximum": "at most", "exclusiveMaximum": "below"}
_MAX_SHOWN = 80


def validate(
    document: Document, keys: Sequence[Key], kind: Any, value: object, also: Sequence[str] = (), owner: str = ""
) -> Any:
    """Return the value as a `kind`.

    Args:
        document: the pipeline file.
        keys: path of the value.
        kind: a dataclass or an annotated type.
        value: from the YAML parser.
        also: allowed keys of the mapping that are no fields of `kind` and not in `value`.
        owner: `source 'digits'` or `pass 'share'`, for messages.
    Raises:
        ConfigError: the first error: its place and what is allowed there.
    """
    adapter = TypeAdapter(kind)
    # Strict JSON: `true` is no number and "5" is text, but a list may become a tuple, and text a path.
    text = json.dumps(_to_json(document, keys, value))
    try:
        return adapter.validate_json(text, strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        raise _first_error(document, keys, adapter.json_schema(), error, also, owner) from error


def option_names(kind: Any) -> list[str]:
    """Return the keys of a dataclass in a pipeline file."""
    return list(_fields(TypeAdapter(kind).json_schema()))


def unknown_key(
    document: Document, keys: Sequence[Key], allowed: Iterable[str], owner: str = "", place: str = ""
) -> ConfigError:
    """Return the error for an unknown key, the last of `keys`; `place` says where it is known."""
    names = list(dict.fromkeys(allowed))
    of = f" of {owner}" if owner else ""
    instead = f"; {place}" if place else suggestion(document.root, keys[:-1], str(keys[-1]), names)
    return document.error(keys, f"unknown key{of}{instead}", ", ".join(names) or "none")


def _to_json(document: Document, keys: Sequence[Key], value: object) -> object:
    """Return a YAML value, or a part of it, as a JSON value; `keys` are the path of the whole, for errors."""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):  # JSON has no such keys: a function of the user would get text
                raise document.error(keys, f"the key {key} is not text; put it in quotes")
        return {str(key): _to_json(document, keys, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(document, keys, item) for item in value]
    if isinstance(value, ScalarBoolean):
        return bool(value)
    return value if value is None or isinstance(value, int | float) else str(value)


def _first_error(
    document: Document, keys: Sequence[Key], schema: Schema, errors: ValidationError, also: Sequence[str], owner: str
) -> ConfigError:
    located = [(error, _path_in_file(error, document.at(keys))) for error in errors.errors()]
    # An unknown key explains a missing one. Of the errors of a union's members, the deepest is about the intended one,
    # and so is one of our own.
    error, path = min(
        located,
        key=lambda each: (each[0]["type"] not in _UNKNOWN_KEY, -len(each[1]), each[0]["type"] != "value_error"),
    )
    place = [*keys, *path]
    if error["type"] in _UNKNOWN_KEY:
        fields = [name for choice in _choices(_schema_at(schema, path[:-1]), schema) for name in _fields(choice)]
        return unknown_key(document, place, fields if path[1:] else [*also, *fields], "" if path[1:] else owner)
    if error["type"] == "value_error":
        return document.error(place, str(error["ctx"]["error"]))
    node = _schema_at(schema, path)
    if error["type"] == "missing":
        return document.error(place, "this key is missing", _allowed(node, schema))
    words = [word for choice in _choices(node, schema) for word in _words(choice)]
    instead = suggestion(document.root, place, str(error["input"]), words)
    return document.error(place, f"cannot be {_shown(error['input'])}{instead}", _allowed(node, schema))


def _path_in_file(error: ErrorDetails, node: Any) -> list[Key]:
    """Return the keys of an error's location that are in the file, and a missing key; not the members of unions."""
    path: list[Key] = []
    for key in error["loc"]:
        if has_key(node, key):
            path.append(key)
            node = node[key]
    return [*path, error["loc"][-1]] if error["type"] == "missing" else path


def _schema_at(schema: Schema, path: Sequence[Key]) -> Schema:
    """Return the part of a JSON schema at a path; an empty one if it has none."""
    node = schema
    for key in path:
        choices = _choices(node, schema)
        if isinstance(key, int):
            inner = [choice.get("items") for choice in choices]
        else:
            inner = [_fields(choice).get(key, choice.get("additionalProperties")) for choice in choices]
        node = next((part for part in inner if isinstance(part, Mapping)), {})
    return node


def _choices(node: Schema, schema: Schema) -> list[Schema]:
    """Return the alternatives of a schema, references followed and nested alternatives flattened."""
    if "$ref" in node:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    alternatives = node.get("anyOf") or node.get("oneOf")
    return [inner for choice in alternatives for inner in _choices(choice, schema)] if alternatives else [node]


def _fields(node: Schema) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = node.get("properties", {})
    return fields


def _allowed(node: Schema, schema: Schema) -> str:
    """Return the values that a part of a schema allows, in words."""
    allowed = (_allowed_one(choice) for choice in _choices(node, schema) if choice.get("type") != "null")
    return " or ".join(dict.fromkeys(allowed))


def _allowed_one(node: Schema) -> str:
    if words := _words(node):
        return ", ".join(words)
    if "properties" not in node and "description" in node:
        return str(node["description"])
    limits = [f"{text} {node[name]:,}" for name, text in _LIMITS.items() if name in node]
    if "minimum" in node and "maximum" in node:
        limits = [f"{node['minimum']:,} to {node['maximum']:,}"]
    return ", ".join([_TYPES.get(node.get("type", ""), "another type"), *limits])


def _words(node: Schema) -> list[str]:
    return [str(word) for word in node.get("enum", [node["const"]] if "const" in node else [])]


def _shown(value: object) -> str:
    """Return a wrong value as a message shows it."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "empty"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
