"""Front coding of tensor names: how many bytes a name shares with the start of the previous one, then the rest."""

from __future__ import annotations

import os
from collections.abc import Iterable

from compress.container.field_io import FieldReader, FieldWriter
from compress.errors import FormatError

MAX_NAME_BYTES = 1 << 10


def write_names(out: FieldWriter, names: Iterable[str]) -> None:
    """Write names, each at most `MAX_NAME_BYTES` of UTF-8."""
    previous = b""
    for name in names:
        encoded = name.encode()
        shared = len(os.path.commonprefix([previous, encoded]))  # noqa: RUF071 - of bytes, not of path components
        out.varint(shared)
        out.text(encoded[shared:], MAX_NAME_BYTES - shared)
        previous = encoded


def read_names(fields: FieldReader, count: int) -> list[str]:
    """Return `count` names.

    Raises:
        FormatError: a name occurs twice, is too long or not UTF-8.
    """
    names: dict[str, None] = {}
    previous = b""
    for _ in range(count):
        shared = fields.varint(len(previous), "shared bytes of a name")
        name = fields.text(MAX_NAME_BYTES - shared, previous[:shared])
        if name in names:
            raise FormatError(f"two tensors are named {name!r}", offset=fields.at)
        names[name] = None
        previous = name.encode()
    return list(names)
