"""The errors that a user can meet, and the exit code of each.

Every room raises these and no other error for a user's mistake. The command line prints the message and exits with the
code.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path


class SqueezeError(Exception):
    """Root of the errors that this package raises on purpose.

    The message is all that a user sees. It says what was wrong, the value, what is allowed and what to do next.

    Attributes:
        exit_code: of the command line: 1 failed, 2 bad usage or configuration, 3 goal missed.
    """

    exit_code = 1


class ConfigError(SqueezeError):
    """A pipeline file, an option or an override is wrong.

    Attributes:
        problem: the message without its place and without `allowed`.
        file: the pipeline file, or `--set`; None: unknown.
        line: line in the file, from 1; None: unknown.
        column: column of the key in that line, from 1; None: unknown. The message leaves it out.
        key: dotted path of the key; None: unknown.
        allowed: the allowed values; None: `problem` says it.
    """

    exit_code = 2

    def __init__(
        self,
        problem: str,
        *,
        file: Path | str | None = None,
        line: int | None = None,
        column: int | None = None,
        key: str | None = None,
        allowed: str | None = None,
    ) -> None:
        self.problem, self.file, self.line, self.column = problem, file, line, column
        self.key, self.allowed = key, allowed
        place = ":".join(str(part) for part in (file, line) if part is not None)
        message = ": ".join(part for part in (place, key, problem) if part)
        super().__init__(f"{message} (allowed: {allowed})" if allowed else message)


class WeightsError(SqueezeError):
    """Pretrained weights are not available, or do not fit the network."""


class PassError(SqueezeError):
    """A pass does not support the model or the photos, or broke an invariant.

    Attributes:
        problem: the message without stage and tensor.
        stage: name of the stage; None outside a pipeline.
        tensor: name of the tensor; None if the error is about no single tensor.
    """

    def __init__(self, problem: str, *, stage: str | None = None, tensor: str | None = None) -> None:
        self.problem, self.stage, self.tensor = problem, stage, tensor
        place = ", ".join(f"{kind} {name}" for kind, name in (("stage", stage), ("tensor", tensor)) if name)
        super().__init__(f"{place}: {problem}" if place else problem)


class DataError(SqueezeError):
    """Photos or labels are missing, unreadable or do not fit the network."""


class FormatError(SqueezeError):
    """A `.sqz` file, or a stream in it, breaks the format.

    Attributes:
        problem: the message without offset, expectation and file.
        offset: byte in the file or stream; None: unknown.
        expected: valid content at that byte; None: `problem` says it.
        file: the file; None where the input was bytes.
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
    """Add the file's name to each `FormatError` raised in the block."""
    try:
        yield
    except FormatError as error:
        raise FormatError(error.problem, offset=error.offset, expected=error.expected, file=file) from error


@contextmanager
def offset_by(start: int, where: str = "") -> Iterator[None]:
    """Add `start` to the offset of a FormatError raised inside, and put `where` before its problem."""
    try:
        yield
    except FormatError as error:
        problem = f"{where}: {error.problem}" if where else error.problem
        raise FormatError(problem, offset=start + (error.offset or 0), expected=error.expected) from error


@contextmanager
def torch_required() -> Iterator[None]:
    """Turn a failed import of torch in the block, or in the decorated function, into an error that says what to do.

    Raises:
        ConfigError: torch is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ConfigError(
            "torch is not installed; only inspect, verify, report and decompress to .safetensors work without it. "
            "For a CPU, run in a clone of squeeze-compress:\n"
            "  pip install torch --index-url https://download.pytorch.org/whl/cpu\n"
            "  pip install '.[torch]'"
        ) from error


class GoalMissed(SqueezeError):
    """The pipeline ran, and its file is larger or less accurate than the goal allows."""

    exit_code = 3


def first_names(names: Collection[str], maximum: int = 8) -> str:
    """Return the first names as text, and how many more there are."""
    more = f" and {len(names) - maximum:,} more" if len(names) > maximum else ""
    return ", ".join(islice(names, maximum)) + more


def nearest(word: str, names: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the name most like `word`; an empty string if none is similar."""
    match = difflib.get_close_matches(word, list(names), n=1, cutoff=0.6)
    return f"; did you mean {match[0]!r}?" if match else ""
