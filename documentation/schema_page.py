"""A JSON schema as a Markdown page: a section for each object, with a table of its keys."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from compress.configuration.json_schema import attribute_descriptions

Schema = Mapping[str, Any]


def schema_page(title: str, schema: Schema) -> str:
    """Return a page that describes an object, the objects in its keys, and those of `$defs`."""
    sections = [*_sections("The file", schema), *_definitions(schema.get("$defs", {}))]
    return f"# {title}\n\n" + "\n".join(sections)


def _definitions(definitions: Schema) -> Iterator[str]:
    for name, schema in definitions.items():
        if "properties" in schema:
            yield _section(name, schema)


def _sections(name: str, schema: Schema) -> Iterator[str]:
    yield _section(name, schema)
    for key, value in schema["properties"].items():
        if "properties" in value:
            yield from _sections(key, value)
        for kind in value.get("items", value).get("oneOf", ()):
            yield _section(f"{key}: {kind['title']}", kind)


def _section(name: str, schema: Schema) -> str:
    docstring = schema.get("description", "")  # pydantic copies it
    description, told = docstring.partition("\n\nAttributes:\n")[0], attribute_descriptions(docstring)
    rows = [
        (f"`{key}`", _kind(value), _default(key, value, schema), value.get("description", told.get(key, "")))
        for key, value in schema["properties"].items()
    ]
    table = [("key", "value", "default", ""), ("---",) * 4, *rows]
    return f"## {name}\n\n{description}\n\n" + "".join(f"| {' | '.join(map(_cell, row))} |\n" for row in table)


def _default(key: str, value: Schema, schema: Schema) -> str:
    if key in schema.get("required", ()):
        return "required"
    default = value.get("default")
    return "" if default is None else f"`{default if isinstance(default, str) else json.dumps(default)}`"


def _kind(schema: Schema) -> str:
    """Return the allowed values in a few words."""
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})" if name != "JsonValue" else "any value"
    if "anyOf" in schema:
        return " or ".join(_kind(kind) for kind in schema["anyOf"] if kind.get("type") != "null")
    if schema.get("type") == "array" and "items" in schema and "oneOf" not in schema["items"]:
        return f"list of {_kind(schema['items'])}"
    return f"{schema.get('type', 'object')}{_range(schema)}"


def _range(schema: Schema) -> str:
    words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    return "".join(f" {word} {schema[key]:,}" for key, word in words.items() if key in schema)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
