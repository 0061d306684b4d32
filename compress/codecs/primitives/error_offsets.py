"""Offsets of errors in a section, counted from the start of the whole."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType

from compress.errors import FormatError


@dataclass(slots=True)
class offset_by:  # noqa: N801 - used like a function; a generator would take ten times as long, several times a tensor
    """Add `start` to the offset of a FormatError raised inside, and put `where` before its problem."""

    start: int
    where: str = ""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, FormatError):
            problem = f"{self.where}: {error.problem}" if self.where else error.problem
            raise FormatError(problem, offset=self.start + (error.offset or 0), expected=error.expected) from error
