"""`report.json`: writing, reading and its JSON schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sized
from dataclasses import fields, is_dataclass
from itertools import islice
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError
from pydantic_core import from_json as parse_json

from compress.errors import FormatError
from compress.report.record import SCHEMA_VERSION, RunRecord

_ADAPTER = TypeAdapter(RunRecord)
_MAX_SHOWN_PROBLEMS = 3

_MAX_COUNT = 10**18
"""Larger than any count of bytes or weights."""

_MAX_FLOAT = 1e305
"""Charts multiply, and would exceed the largest float."""

_POSITIVE = frozenset(["file_bytes", "float_bytes", "photos"])
"""Fields that the pages divide by."""


def to_json(record: RunRecord) -> str:
    """Return the text of `report.json`, one line a field, stage and layer; fields that have their default are left out.

    Raises:
        FormatError: a value could not be read back, such as NaN.
    """
    try:
        fields = parse_json(_ADAPTER.dump_json(record, exclude_defaults=True))
    except PydanticSerializationError as error:
        raise FormatError(f"the record holds a value that JSON cannot: {error}") from error
    text = "{\n" + ",\n".join(f'"{name}":{_to_lines(value)}' for name, value in fields.items()) + "\n}\n"
    from_json(text)
    return text


def from_json(text: str) -> RunRecord:
    """Read the output of `to_json`.

    Raises:
        FormatError: not JSON, an unreadable schema version, an empty list that must not be empty, a field that is
            missing, unknown or of another type, or a number that no run writes.
    """
    _check_version(text)
    try:
        record = _ADAPTER.validate_json(text)
    except ValidationError as error:
        raise FormatError(_describe(error), expected=f"a report of schema version {SCHEMA_VERSION}") from error

    _check_lists(record)
    check_numbers(record)
    return record


def check_numbers(part: object, name: str = "") -> None:
    """Check the numbers in a record, or in a part of it that has a name.

    Raises:
        FormatError: no run writes such a number.
    """
    if wrong := list(islice(_impossible_numbers(part, name), _MAX_SHOWN_PROBLEMS)):
        raise FormatError("; ".join(wrong), expected="numbers as a run writes them")


def json_schema() -> str:
    """Return the content of `docs/report.schema.json`."""
    schema: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    schema |= _ADAPTER.json_schema(mode="serialization")
    schema["properties"]["schema_version"]["const"] = SCHEMA_VERSION
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


def _to_lines(value: object) -> str:
    """Return compact JSON, with each entry of a list on its own line."""
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(map(_to_lines, value)) + "\n]"
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _check_version(text: str) -> None:
    """Check the version before the fields: other messages would mislead about another version."""
    try:
        content = parse_json(text)
    except ValueError as error:
        raise FormatError(f"the report is not JSON: {error}") from error
    if not isinstance(content, dict) or "schema_version" not in content:
        raise FormatError("this JSON is not a report", expected="an object with a schema_version")
    version = content["schema_version"]
    if version != SCHEMA_VERSION:
        raise FormatError(
            f"the report has schema version {version!r}; read it with the release of squeeze-compress that wrote it, "
            "or run its pipeline again",
            expected=f"schema version {SCHEMA_VERSION}",
        )


def _check_lists(record: RunRecord) -> None:
    """Check that the lists are not empty whose ends the pages show."""
    lists: dict[str, Sized] = {"stages": record.stages}
    if record.example:
        lists |= {"example.before": record.example.before, "example.after": record.example.after}
    if empty := [name for name, values in lists.items() if not values]:
        raise FormatError(f"{', '.join(empty)}: empty", expected="at least one entry, as a run writes it")


def _impossible_numbers(value: object, place: str) -> Iterator[str]:
    """Yield the numbers in a record that cannot be: counts below 0 or far too large, and floats near infinity."""
    inner: list[tuple[object, object]] = []
    if is_dataclass(value):
        inner = [(field.name, getattr(value, field.name)) for field in fields(value) if field.name != "options"]
    elif isinstance(value, Mapping):
        inner = list(value.items())
    elif isinstance(value, tuple):
        inner = list(enumerate(value))
    elif isinstance(value, int) and not isinstance(value, bool):
        if not int(place.rpartition(".")[2] in _POSITIVE) <= value <= _MAX_COUNT:
            yield f"{place} cannot be {value!r:.40}"
    elif isinstance(value, float) and not abs(value) < _MAX_FLOAT:
        yield f"{place} cannot be {value}"
    for name, each in inner:
        yield from _impossible_numbers(each, f"{place}.{name}" if place else str(name))


def _describe(error: ValidationError) -> str:
    problems = error.errors(include_url=False)
    lines = [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in problems[:_MAX_SHOWN_PROBLEMS]]
    more = len(problems) - len(lines)
    return "; ".join(lines) + (f"; and {more} more" if more else "")
