"""Storage of a study: a file, or a database that several machines share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import OptunaError, StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from compress.errors import ConfigError, SqueezeError
from compress.runtime.file_names import expand_home

_MAX_JOURNAL_LINE_BYTES = 1_000
_START = b'{"op_code"'
_ALLOWED = (
    "a file, or a database URL of SQLAlchemy whose driver is installed: postgresql://USER@HOST/NAME, sqlite:///FILE"
)


class _TornLineLock(JournalFileSymlinkLock):
    """Removes, before a line is appended, the part of a line that a full disk or a killed process left.

    Optuna would append to it, and the study could not be read any more.
    """

    def __init__(self, file: Path) -> None:
        super().__init__(str(file))
        self._file = file

    def acquire(self) -> bool:
        acquired = super().acquire()
        try:
            with self._file.open("r+b") as stream:
                if stream.seek(0, os.SEEK_END) and stream.seek(-1, os.SEEK_END) >= 0 and stream.read() != b"\n":
                    stream.seek(0)
                    stream.truncate(stream.read().rfind(b"\n") + 1)
        except BaseException:
            self.release()
            raise
        return acquired


class _Journal(JournalFileBackend):
    """Names itself in errors of a full disk."""

    def __init__(self, file: Path) -> None:
        super().__init__(str(file), _TornLineLock(file))
        self._file = file

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        try:
            super().append_logs(logs)
        except OSError as error:
            error.filename = error.filename or str(self._file)
            raise


def open_storage(place: str) -> BaseStorage:
    """Open the storage of studies at a path or a URL of SQLAlchemy; create it if it does not exist.

    Raises:
        ConfigError: the URL is wrong, the storage is not available, or the file is something else.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return _database(place) if "://" in place else _journal(expand_home(Path(place)))
    # Optuna raises any of these for a file that is not a journal; an `ImportError` names the driver of a database.
    except (ImportError, OSError, OptunaError, SQLAlchemyError, RuntimeError, ValueError, KeyError, TypeError) as error:
        problem = f"cannot open the study {redacted(place)}: {_first_line(error)}"
        raise ConfigError(problem, key="--study", allowed=_ALLOWED) from error


@contextmanager
def explain_lost_storage(place: str) -> Iterator[None]:
    """Turn a lost connection in the block into an error that says how to continue.

    Raises:
        SqueezeError: the connection was lost.
    """
    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        raise SqueezeError(
            f"the connection to the study {redacted(place)} was lost ({_first_line(error)}); finished trials are "
            "stored: run the same command again to continue"
        ) from error


def redacted(place: str) -> str:
    """Return a path or URL without its password."""
    try:
        return make_url(place).render_as_string(hide_password=True) if "://" in place else place
    except (ArgumentError, ValueError):
        return repr(place.partition("://")[0] + "://...")


def _database(place: str) -> BaseStorage:
    try:
        make_url(place)
    except (ArgumentError, ValueError):
        raise ValueError("not a database URL") from None
    return RDBStorage(place)


def _journal(file: Path) -> BaseStorage:
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.exists():
        with file.open("rb") as stream:
            start = stream.readline(_MAX_JOURNAL_LINE_BYTES)
        # Optuna would append to any file. A journal with a torn last line is valid.
        if start[: len(_START)] != _START[: len(start)]:
            raise ValueError("the file exists and is not a study")
    return JournalStorage(_Journal(file))


def _first_line(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(getattr(error, "strerror", None) or error) or type(error).__name__
    return text.strip().splitlines()[0]
