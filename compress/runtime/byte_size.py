"""Byte counts in pipeline files and options."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

_PATTERN = re.compile(r"\s*([0-9][0-9_,]*(?:\.[0-9]+)?)\s*(B|kB|MB|GB)?\s*", re.IGNORECASE)
_UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}


def parse_bytes(value: object) -> object:
    """Convert `500kB`, `0.5 MB` or `500000` to bytes; 1 kB is 1,000 bytes. Return other values unchanged."""
    if isinstance(value, float) and value.is_integer():  # YAML reads 5e5 as a float
        return int(value)
    match = _PATTERN.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return value
    number = float(re.sub("[,_]", "", match[1]))
    return round(number * _UNITS[(match[2] or "b").lower()])


Bytes = Annotated[
    int,
    Field(gt=0),
    BeforeValidator(parse_bytes),
    WithJsonSchema({"description": "bytes, more than 0; or with a decimal unit: 500 kB, 0.5 MB"}),
]
