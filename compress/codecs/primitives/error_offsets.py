"""Offsets of errors in a section, counted from the start of the whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from compress.errors import FormatError


@contextmanager
def offset_by(start: int, where: str = "") -> Iterator[None]:
    """Add `start` to the offset of a FormatError raised inside, and put `where` before its problem."""
    try:
        yield
    except FormatError as error:
        problem = f"{where}: {error.problem}" if where else error.problem
        raise FormatError(problem, offset=start + (error.offset or 0), expected=error.expected) from error
