"""The JSON schema of pipeline files, for editors."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from compress.configuration.config import Encode, ReportOptions
from compress.data.sources import SOURCES as PHOTO_SOURCES
from compress.evaluation.goals import Goal
from compress.passes import PASSES
from compress.weights.weight_sources import SOURCES as WEIGHTS_SOURCES

Schema = dict[str, Any]


def pipeline_schema() -> Schema:
    """Return the JSON schema (draft 2020-12) of pipeline files.

    It has the keys, types, ranges and words of every pass and source. Rules between keys are checked by a run alone.
    """
    definitions: Schema = {}
    photos = _choice("source", PHOTO_SOURCES, definitions, optional=("samples",))
    stages = _choice("pass", PASSES, definitions, also={"name": {"type": "string"}})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "squeeze-compress pipeline",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "seed": {"type": "integer", "minimum": 0, "maximum": 2**32 - 1, "description": "Of all random choices."},
            "model": _choice("source", WEIGHTS_SOURCES, definitions, optional=("embedded", "factory")),
            "data": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"calibration": photos, "validation": photos},
            },
            "stages": {"type": "array", "items": stages},
            "encode": _object(Encode, definitions),
            "goal": _object(Goal, definitions),
            "report": _object(ReportOptions, definitions),
            "search": {"description": "The values that `squeeze-compress search` chooses."},
        },
        "$defs": definitions,
    }


def schema_text() -> str:
    """Return the JSON schema of pipeline files as text."""
    return json.dumps(pipeline_schema(), indent=2) + "\n"


def _choice(
    selector: str,
    kinds: Mapping[str, type[Any]],
    definitions: Schema,
    optional: tuple[str, ...] = (),
    also: Mapping[str, Schema] | None = None,
) -> Schema:
    """Return the schema of a mapping whose key `selector` names a dataclass, and whose other keys are its options."""

    def option(name: str, kind: type[Any]) -> Schema:
        schema = _object(kind, definitions)
        required = schema.pop("required", []) if name in optional else [selector, *schema.pop("required", [])]
        properties = {selector: {"const": name}, **(also or {}), **schema.pop("properties", {})}
        return {**schema, "title": name, "properties": properties, "required": required}

    return {"oneOf": [option(name, kind) for name, kind in kinds.items()]}


def _object(kind: type[Any], definitions: Schema) -> Schema:
    """Return the schema of a dataclass of options; add the parts that it refers to."""
    schema = TypeAdapter(kind).json_schema(by_alias=True)
    definitions.update(schema.pop("$defs", {}))
    descriptions: dict[str, str] = {}
    for each in reversed(kind.__mro__):  # the class last
        descriptions |= attribute_descriptions(inspect.cleandoc(each.__doc__ or ""))
    for name, part in schema.get("properties", {}).items():
        field = name if name in descriptions else f"{name}_"  # `lambda` is a keyword of Python
        if field in descriptions:
            part.setdefault("description", descriptions[field])
    summary = inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0]
    return {**schema, "description": " ".join(summary.split()), "additionalProperties": False}


def attribute_descriptions(docstring: str) -> dict[str, str]:
    """Return the entries of the section "Attributes" of a docstring, each on one line."""
    entries = re.findall(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", docstring.partition("Attributes:\n")[2], re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}
