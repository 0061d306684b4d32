"""The progress of long work: bars and a live table of stages at a terminal, lines without one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table
from rich.text import Text

if TYPE_CHECKING:
    from compress.pipeline.stage_forecast import StageForecast
    from compress.report.record import StageRecord


SECONDS_BETWEEN_LINES = 30.0
"""Time between two lines about the same work."""


_UNBOUNDED = 1_000
"""Width in which a table is measured."""

_MIN_BAR_WIDTH = 80
"""Width of the narrowest terminal in which bars leave room for their titles."""


def progress_bars(console: Console) -> Progress:
    """Return an empty display of progress bars, which disappears at the end; without bars if the terminal is narrow."""
    title = TextColumn("{task.description}", table_column=Column(overflow="fold"))
    bars: tuple[ProgressColumn, ...] = BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    columns = bars if console.width >= _MIN_BAR_WIDTH else bars[1:2]
    return Progress(SpinnerColumn(), title, *columns, console=console, transient=True)


class LiveStages:
    """A table of stages with state, bytes, time and time left, and below it the bar of the step that runs.

    Attributes:
        watch: the argument `watch` of `compress.pipeline.run`.
    """

    def __init__(self, console: Console) -> None:
        self._console, self._bars = console, progress_bars(console)
        self._forecasts: Sequence[StageForecast] = ()
        self._records: Sequence[StageRecord] = ()
        self._started = time.perf_counter()
        self._live = Live(console=console, transient=True, get_renderable=self._content)

    def __enter__(self) -> LiveStages:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show a progress bar of `total` items (0: unknown)."""
        task = self._bars.add_task(title, total=total or None)
        self._live.refresh()  # at once: the step may be over before the next refresh
        try:
            yield lambda count: self._bars.advance(task, count)
        finally:
            self._bars.remove_task(task)

    def watch(self, forecasts: Sequence[StageForecast], records: Sequence[StageRecord]) -> None:
        """Show all stages; stages with a record are finished, and the next one runs from now on."""
        self._forecasts, self._records = forecasts, tuple(records)
        self._started = time.perf_counter()
        self._live.refresh()

    def _content(self) -> Group:
        elapsed = time.perf_counter() - self._started
        return Group(stage_table(self._forecasts, self._records, elapsed, self._console), self._bars)


def stage_table(
    forecasts: Sequence[StageForecast], records: Sequence[StageRecord], elapsed: float, console: Console
) -> Table | Group:
    """Return the table of all stages; the one that runs started `elapsed` seconds ago.

    A terminal that is too narrow for the table has lines of text, which fold.
    """
    table = Table(box=None, header_style="bold", pad_edge=False, caption_justify="left")
    if not forecasts:
        return table
    running, *waiting = [forecast.seconds for forecast in forecasts[len(records) :]] or [0.0]
    table.caption = f"about {duration(max(running - elapsed, 0) + sum(waiting))} left"
    for column in ("stage", "state"):
        table.add_column(column)
    for column in ("bytes", "time", "time left"):
        table.add_column(column, justify="right", no_wrap=True)
    lines = []
    for index, forecast in enumerate(forecasts):
        record = records[index] if index < len(records) else None
        is_running = index == len(records)
        cells = _cells(forecast, record, elapsed if is_running else None)
        table.add_row(escape(forecast.name), *cells)
        lines.append(Text(_line(forecast.name, *cells), overflow="fold"))
    if Measurement.get(console, console.options.update(width=_UNBOUNDED), table).maximum <= console.width:
        return table
    return Group(*lines, Text(table.caption, overflow="fold"))


def _line(name: str, state: str, file_bytes: str, time: str, left: str) -> str:
    parts = state, file_bytes and f"{file_bytes} bytes", time, left if left in {"", "overdue"} else f"{left} left"
    return f"{name}: {', '.join(filter(None, parts))}"


def _cells(forecast: StageForecast, record: StageRecord | None, elapsed: float | None) -> tuple[str, str, str, str]:
    if record and record.from_cache:
        return "from the cache", f"{record.file_bytes:,}", "", ""
    if record:
        return "done", f"{record.file_bytes:,}", duration(record.seconds + record.validation_seconds), ""
    if elapsed is None:
        return "waiting", "", "", duration(forecast.seconds)
    left = forecast.seconds - elapsed
    return "running", "", duration(elapsed), duration(left) if left > 0 else "overdue"


def duration(seconds: float) -> str:
    """Return `7 s` or `5 min 12 s`."""
    from compress.report.formatting import to_ascii, whole_seconds  # noqa: PLC0415  slow to import

    return to_ascii(whole_seconds(seconds))


@contextmanager
def progress_lines(console: Console, title: str, total: int, min_seconds: float) -> Iterator[Callable[[int], None]]:
    """Print a line every 30 seconds about the work of the block, and its time when it is done.

    A thread prints them, so that logs stay alive even if the work is one long step. `total` is the number of items; 0:
    unknown. Work that takes less than `min_seconds` is not reported when it is done.
    """
    done, finished, started = 0, threading.Event(), time.perf_counter()

    def advance(count: int) -> None:
        nonlocal done
        done += count

    def say(text: str) -> None:
        console.print(f"{title}: {text}", markup=False)

    def print_lines() -> None:
        while not finished.wait(SECONDS_BETWEEN_LINES):
            seconds = time.perf_counter() - started
            elapsed = duration(seconds)
            if not total:
                say(f"{done:,} done in {elapsed}" if done else f"{elapsed} so far")
            elif not done:
                say(f"0 of {total:,} done in {elapsed}")
            else:
                say(f"{done:,} of {total:,} done in {elapsed}, about {duration(seconds / done * (total - done))} left")

    thread = threading.Thread(target=print_lines, daemon=True)
    thread.start()
    try:
        yield advance
    finally:
        finished.set()
        thread.join()
    if (seconds := time.perf_counter() - started) > min_seconds:
        say(duration(seconds))
