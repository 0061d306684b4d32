"""Types of options in pipeline files: byte counts, paths and names; how dataclasses of options are built."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

OPTIONS = ConfigDict(extra="forbid", defer_build=True)
"""For dataclasses of options: an unknown key is an error, and each is built at its first use: a pipeline uses few."""

ALLOWED_BYTES = "bytes, more than 0; or with a unit: 500 kB, 0.47 MB, 460 KiB"

# A comma is no decimal point: 0,47 MB would be 47 MB.
_NUMBER = r"[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,3}(?:[ \u00a0\u202f][0-9]{3})+|[0-9][0-9_]*"
_PATTERN = re.compile(rf"\s*((?:{_NUMBER})(?:\.[0-9]+)?)\s*([a-z]*)\s*", re.IGNORECASE)
_POINT = "{written} is no number of bytes: a point separates decimals, not thousands; write 500000, '500,000' or 500 kB"
_UNITS = {"": 1, "b": 1, "bytes": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


def parse_bytes(value: object) -> object:
    """Convert `500kB`, `0.47 MB`, `460KiB` or `500000` to bytes; return other values unchanged.

    1 kB is 1,000 bytes and 1 KiB is 1,024 bytes.

    Raises:
        ValueError: a point may separate thousands, as in 500.000.
    """
    if isinstance(value, float) and value.is_integer():  # YAML reads 5e5 as a float, and 500.000 as 500.0
        if 0 < value < 1000:
            raise ValueError(_POINT.format(written=value))
        return int(value)
    match = _PATTERN.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2].lower() not in _UNITS:
        return value
    if "." in match[1] and _UNITS[match[2].lower()] == 1:
        raise ValueError(_POINT.format(written=match[1]))
    return round(Decimal(re.sub(r"[,_\s]", "", match[1])) * _UNITS[match[2].lower()])


Bytes = Annotated[int, Field(gt=0), BeforeValidator(parse_bytes), WithJsonSchema({"description": ALLOWED_BYTES})]


def _not_empty(value: object) -> object:
    if value == "":
        raise ValueError("the path is empty; '.' is the current folder")
    return value


PathText = Annotated[str, BeforeValidator(_not_empty), WithJsonSchema({"type": "string", "minLength": 1})]
"""The name of a file."""

FilePath = Annotated[
    Path, BeforeValidator(_not_empty), WithJsonSchema({"type": "string", "format": "path", "minLength": 1})
]
"""The path of a file or folder."""

KeyText = Annotated[str, Field(min_length=1)]
"""A name that is not empty."""
