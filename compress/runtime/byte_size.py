"""How pipelines say bytes."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

_BYTES = re.compile(r"\s*([0-9][0-9_,]*(?:\.[0-9]+)?)\s*(B|kB|MB|GB)?\s*", re.IGNORECASE)


def to_bytes(value: object) -> object:
    """Turn `500kB`, `0.5 MB` or `500000` into a number of bytes; anything else is left for the validation to refuse.

    Units are decimal: 1 kB is 1,000 bytes.
    """
    if isinstance(value, float) and value.is_integer():  # YAML reads 5e5 as a float
        return int(value)
    match = _BYTES.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return value
    number = float(match[1].replace(",", "").replace("_", ""))
    return round(number * {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}[(match[2] or "b").lower()])


Bytes = Annotated[
    int,
    Field(gt=0),
    BeforeValidator(to_bytes),
    WithJsonSchema({"description": "bytes, more than 0; or with a decimal unit: 500 kB, 0.5 MB"}),
]
