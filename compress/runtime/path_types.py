"""Types of paths in pipeline files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema


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
