"""Every error that a user can meet, and the exit code it ends the program with."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


class SqueezeError(Exception):
    """Root of the errors that this package raises on purpose.

    The message says what was wrong with which value, what is allowed and what to do next: it is all that a user
    sees. `exit_code` is what the command line ends with: 1 failed, 2 bad usage or configuration, 3 goal missed.
    """

    exit_code = 1


class ConfigError(SqueezeError):
    """A pipeline file, an option or an override is wrong.

    Attributes:
        file: the file at fault, or None where the value came from the command line or from Python.
        line: its line, counted from 1, or None.
        key: the dotted path of the key, or None.
    """

    exit_code = 2

    def __init__(
        self,
        problem: str,
        *,
        file: Path | str | None = None,
        line: int | None = None,
        key: str | None = None,
        allowed: str | None = None,
    ) -> None:
        self.file, self.line, self.key = file, line, key
        place = ":".join(str(part) for part in (file, line) if part is not None)
        message = ": ".join(part for part in (place, key, problem) if part)
        super().__init__(f"{message} (allowed: {allowed})" if allowed else message)


class WeightsError(SqueezeError):
    """Trained weights could not be had, or do not fit the network."""


class PassError(SqueezeError):
    """A pass cannot do what was asked of it, or broke what an earlier one promised.

    Attributes:
        stage: name of the stage, or None outside a pipeline.
        tensor: name of the tensor at fault, or None.
    """

    def __init__(self, problem: str, *, stage: str | None = None, tensor: str | None = None) -> None:
        self.problem, self.stage, self.tensor = problem, stage, tensor
        place = ", ".join(f"{kind} {name}" for kind, name in (("stage", stage), ("tensor", tensor)) if name)
        super().__init__(f"{place}: {problem}" if place else problem)


class DataError(SqueezeError):
    """Photos or labels are missing, unreadable or do not fit the network."""


class FormatError(SqueezeError):
    """A `.sqz` file, or a stream in it, is not what the format says.

    Attributes:
        offset: byte in the file (or stream) where it went wrong, or None.
        expected: what should have been there, or None.
        file: that was read, or None where bytes were.
    """

    def __init__(
        self, problem: str, *, offset: int | None = None, expected: str | None = None, file: Path | str | None = None
    ) -> None:
        self.problem, self.offset, self.expected, self.file = problem, offset, expected, file
        message = problem if offset is None else f"at byte {offset:,}: {problem}"
        message = message if file is None else f"{file}: {message}"
        super().__init__(f"{message}; expected {expected}" if expected else message)


@contextmanager
def format_errors_of(file: Path | str) -> Iterator[None]:
    """Let a `FormatError` raised inside name the file."""
    try:
        yield
    except FormatError as error:
        raise FormatError(error.problem, offset=error.offset, expected=error.expected, file=file) from error


class GoalMissed(SqueezeError):
    """The pipeline ran, and its file is larger or less accurate than its goal allows."""

    exit_code = 3


def nearest(word: str, names: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the known name most like `word`, or an empty string."""
    match = difflib.get_close_matches(word, list(names), n=1, cutoff=0.6)
    return f"; did you mean {match[0]!r}?" if match else ""
