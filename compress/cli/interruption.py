"""Stopping the program by SIGINT (Ctrl-C), SIGTERM or SIGHUP (a closed terminal)."""

from __future__ import annotations

import shlex
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
_SECONDS_UNTIL_REPEATED = 2.0
_RESUMABLE = {
    "compress": "finished stages",
    "run": "finished stages",
    "search": "finished trials",
    "sensitivity": "gathered statistics",
}
"""Content of the cache of a stopped command."""


class Interrupted(KeyboardInterrupt):
    """A signal asked the program to stop.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def stopped_message(command: str | None, arguments: Sequence[str]) -> str:
    """Return the message after a stop: unchanged files, and the command that goes on."""
    message = "stopped; files of an earlier run are unchanged"
    if command not in _RESUMABLE or "--fresh" in arguments:
        return message
    again = shlex.join(["squeeze-compress", *arguments])
    return f"{message}, and {_RESUMABLE[command]} are kept. The same command goes on from there:\n  {again}"


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """Raise `Interrupted` in the block on the signals that stop it, except those that it was started to ignore.

    A job of a script that runs in the background gets no Ctrl-C: it ignores SIGINT and is stopped by SIGTERM. `nohup`
    ignores SIGHUP.
    """
    if threading.current_thread() is not threading.main_thread():  # elsewhere Python refuses handlers
        yield
        return
    numbers = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    previous = {number: signal.signal(number, _interrupt) for number in numbers}
    try:
        yield
    finally:
        _repeat_after(0, signal.SIGINT)
        for number, handler in previous.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: object) -> None:
    # A destructor, a callback or a bare `except` of a library swallows the exception: raise it again then.
    _repeat_after(_SECONDS_UNTIL_REPEATED, number)
    raise Interrupted(number)


def _repeat_after(seconds: float, number: int) -> None:
    """Interrupt again after some seconds; 0: never. Windows has no such timer."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, lambda *_: _interrupt(number, None))
        signal.setitimer(signal.ITIMER_REAL, seconds)
