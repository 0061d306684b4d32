"""Class names of a model <-> bytes: UTF-8 lines, compressed."""

from __future__ import annotations

from compress.container.compression import compress, decompress
from compress.errors import DataError, FormatError

_MAX_PLAIN_BYTES = 1 << 24


def encode_class_names(names: tuple[str, ...], classes: int) -> tuple[int, bytes, int]:
    """Return how the names, or no names, are compressed, their bytes, and the bytes before compression.

    Raises:
        DataError: there is not one name for each class, a name has a line break, or the names are too long.
    """
    if names and len(names) != classes:
        raise DataError(f"{len(names):,} labels for {classes:,} classes (allowed: one for each class, or none)")
    if bad := [name for name in names if "\n" in name]:
        raise DataError(f"label {bad[0]!r} contains a line break; a class name is one line")
    plain = "".join(f"{name}\n" for name in names).encode()
    if len(plain) > _MAX_PLAIN_BYTES:
        raise DataError(f"labels of {len(plain):,} bytes (allowed: up to {_MAX_PLAIN_BYTES:,})")
    return *compress(plain), len(plain)


def decode_class_names(stored: bytes, coding: int, plain_bytes: int, classes: int) -> tuple[str, ...]:
    """Return the names.

    Raises:
        FormatError: they are damaged, not UTF-8, or not one line for each class; the offset counts from their start.
    """
    if plain_bytes > _MAX_PLAIN_BYTES:
        raise FormatError(f"{plain_bytes:,} bytes", expected=f"at most {_MAX_PLAIN_BYTES:,}")
    plain = decompress(stored, coding, plain_bytes)
    if not plain:
        return ()
    try:
        *names, rest = plain.decode().split("\n")
    except UnicodeDecodeError as error:
        raise FormatError("a class name is not UTF-8") from error
    if rest or len(names) != classes:
        raise FormatError(f"{len(names):,} lines", expected=f"{classes:,}, each with a line feed")
    return tuple(names)
