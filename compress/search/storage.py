"""Where a study lies: a file, or a database that several machines reach."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.exceptions import OptunaError, StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from compress.errors import ConfigError, SqueezeError

_SECONDS_TO_CONNECT = 10
_CONNECTING = {"postgresql": "connect_timeout", "mysql": "connect_timeout", "mariadb": "connect_timeout"}
_LONGEST_OPERATION = 1_000
_ALLOWED = "a file, or a database as SQLAlchemy names it: postgresql://USER@HOST/NAME, mysql://..., sqlite:///FILE"


def open_storage(where: str) -> BaseStorage:
    """Open a file or a database of studies, and make it where there is none.

    Args:
        where: a path, or a URL as SQLAlchemy has it.
    Raises:
        ConfigError: it cannot be reached, or is something else.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        url = make_url(where) if "://" in where else None
    except (ArgumentError, ValueError) as error:
        raise ConfigError(f"{shown(where)} is no database's URL", key="--study", allowed=_ALLOWED) from error
    try:
        return _journal(Path(where)) if url is None else _database(url)
    except ImportError as error:
        problem = f"cannot open {shown(where)}: its driver is not installed ({_first_line(error)}); install it with pip"
        raise ConfigError(problem, key="--study") from error
    except OSError as error:
        problem = f"cannot open the study {where}: {error.strerror or error}"
        raise ConfigError(problem, key="--study", allowed=_ALLOWED) from error
    except (OptunaError, SQLAlchemyError, RuntimeError, ValueError, KeyError, TypeError) as error:
        # A file of something else ends in whatever its first line makes of a journal.
        problem = f"cannot reach the study {shown(where)}: {_first_line(error)}"
        raise ConfigError(problem, key="--study", allowed=_ALLOWED) from error


@contextmanager
def reachable(where: str) -> Iterator[None]:
    """Turn the loss of the database, while the context lasts, into one error that says how to go on.

    Raises:
        SqueezeError: it was lost.
    """
    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        raise SqueezeError(
            f"the study {shown(where)} cannot be reached any more ({_first_line(error)}); what was measured is in it "
            "and in the cache: the same command goes on from there"
        ) from error


def shown(where: str) -> str:
    """Return a study's place without the password in it."""
    try:
        return make_url(where).render_as_string(hide_password=True) if "://" in where else where
    except (ArgumentError, ValueError):
        return repr(where.partition("://")[0] + "://...")


def _database(url: URL) -> BaseStorage:
    backend = url.get_backend_name()
    limit = {_CONNECTING[backend]: _SECONDS_TO_CONNECT} if backend in _CONNECTING else {}
    return RDBStorage(url.render_as_string(hide_password=False), engine_kwargs={"connect_args": limit})


def _journal(file: Path) -> BaseStorage:
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.exists():
        with file.open("rb") as stream:
            begin = stream.readline(_LONGEST_OPERATION)
        # A journal whose last line is torn is read; a file of something else would be taken for one, and added to.
        if begin and not begin.startswith(b'{"op_code"'):
            raise ValueError("the file is there already, and is something else")
    return JournalStorage(JournalFileBackend(str(file)))


def _first_line(error: BaseException) -> str:
    cause = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__
