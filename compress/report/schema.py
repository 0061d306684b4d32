"""`report.json`: written, read back, and described by a JSON schema."""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError
from pydantic_core import from_json as parse_json

from compress.errors import FormatError
from compress.report.record import SCHEMA_VERSION, Record

_ADAPTER = TypeAdapter(Record)
_SHOWN_PROBLEMS = 3


def to_json(record: Record) -> str:
    """Return the text of `report.json`: fields in the record's order, two spaces of indent, a final newline.

    Raises:
        FormatError: a value would not survive being read back, such as a number that is not finite.
    """
    try:
        text = _ADAPTER.dump_json(record, indent=2).decode() + "\n"
    except PydanticSerializationError as error:
        raise FormatError(f"the record holds what JSON cannot: {error}") from error
    from_json(text)
    return text


def from_json(text: str) -> Record:
    """Read what `to_json` wrote, and nothing else.

    Raises:
        FormatError: not JSON, another schema version, or a field that is missing, unknown or of another type.
    """
    _check_version(text)
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError as error:
        raise FormatError(_describe(error), expected=f"a report of schema version {SCHEMA_VERSION}") from error


def json_schema() -> str:
    """Return the JSON schema of `report.json`, as `docs/report.schema.json` holds it."""
    schema: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    schema |= _ADAPTER.json_schema(mode="serialization")
    schema["properties"]["schema_version"]["const"] = SCHEMA_VERSION
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


def _check_version(text: str) -> None:
    """Look at the version before anything else: every other message would mislead about another version's report."""
    try:
        content = parse_json(text)
    except ValueError as error:
        raise FormatError(f"the report is not JSON: {error}") from error
    if not isinstance(content, dict) or "schema_version" not in content:
        raise FormatError("this JSON is not a report", expected="an object with a schema_version")
    version = content["schema_version"]
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise FormatError(
            f"the report has schema version {version!r}; read it with the release of squeeze-compress that wrote it",
            expected=f"schema version {SCHEMA_VERSION}",
        )


def _describe(error: ValidationError) -> str:
    problems = error.errors(include_url=False)
    lines = [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in problems[:_SHOWN_PROBLEMS]]
    more = len(problems) - len(lines)
    return "; ".join(lines) + (f"; and {more} more" if more else "")
