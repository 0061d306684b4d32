"""Progress without a terminal: lines about long work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rich.console import Console

from compress.cli.live_stages import duration

SECONDS_BETWEEN_LINES = 30.0
"""Between two lines about the same work."""


class ProgressLines:
    """Prints a line every 30 seconds about work that is not done, and its time when it is done.

    A thread prints them, so that logs stay alive even if the work is one long step.

    Args:
        console: where to print.
        title: name of the work.
        total: number of items; 0: unknown.
        min_seconds: shorter work is not reported when it is done.
    """

    def __init__(self, console: Console, title: str, total: int, min_seconds: float) -> None:
        self._console, self._min_seconds = console, min_seconds
        self._title, self._total, self._done = title, total, 0
        self._started, self._finished = time.perf_counter(), threading.Event()
        self._thread = threading.Thread(target=self._print_lines, daemon=True)

    def __enter__(self) -> Callable[[int], None]:
        self._thread.start()
        return self._advance

    def __exit__(self, *error: object) -> None:
        self._finished.set()
        self._thread.join()
        seconds = time.perf_counter() - self._started
        if error[0] is None and seconds > self._min_seconds:
            self._print(duration(seconds))

    def _advance(self, count: int) -> None:
        self._done += count

    def _print_lines(self) -> None:
        while not self._finished.wait(SECONDS_BETWEEN_LINES):
            seconds = time.perf_counter() - self._started
            elapsed = duration(seconds)
            if not self._total:
                self._print(f"{self._done:,} done in {elapsed}" if self._done else f"{elapsed} so far")
            elif not self._done:
                self._print(f"0 of {self._total:,} done in {elapsed}")
            else:
                left = duration(seconds / self._done * (self._total - self._done))
                self._print(f"{self._done:,} of {self._total:,} done in {elapsed}, about {left} left")

    def _print(self, text: str) -> None:
        self._console.print(f"{self._title}: {text}", markup=False)
