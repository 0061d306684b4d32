"""Output to the terminal: tables, progress bars, errors. Without a terminal, plain lines.

Functions that need rich import it: a command that prints only lines, or a table that fits, starts sooner.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import click

from compress.runtime.file_names import escape_undecodable

if TYPE_CHECKING:
    from rich.console import Console

    from compress.evaluation.results import Interval
    from compress.pipeline.runner import Watch
    from compress.runtime.progress import Progress

_quiet = False
_verbose = False
_WIDTH_WITHOUT_TERMINAL = 160
_DUMB_TERMINALS = ("dumb", "unknown")
"""Values of `TERM` for terminals without colors and bold text."""

_MAX_ARCHITECTURE = 100
_MIN_TEXT_WIDTH = 16
"""Width to which a narrow terminal folds the text columns of a table."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_MIN_REPORTED_SECONDS = 2.0
"""Shortest work that is reported without a terminal, unless --verbose."""


def set_verbosity(*, quiet: bool, verbose: bool) -> None:
    """Set the amount of output."""
    global _quiet, _verbose
    _quiet, _verbose = quiet, verbose
    _err.cache_clear()
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        # File names may hold undecodable bytes, and the terminal may lack characters.
        sys.stdout.reconfigure(errors="backslashreplace")


@cache  # lines appear above the bars of the same console
def _err() -> Console:
    from rich.console import Console  # noqa: PLC0415

    return Console(stderr=True, highlight=False, emoji=False)


def _visible(text: str) -> str:
    """Return text whose control characters are escaped: names in files could otherwise steer the terminal."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def say(text: str) -> None:
    """Print a result."""
    print(_visible(text).expandtabs(), flush=True)


def say_json(value: object) -> None:
    """Print a result as JSON, the only output on stdout."""
    click.echo(json.dumps(_in_unicode(value), indent=2, allow_nan=False))


def _in_unicode(value: object) -> object:
    """Return JSON values in which file names that are not Unicode are escaped, as strict readers of JSON need."""
    if isinstance(value, str):
        return escape_undecodable(value)
    if isinstance(value, Mapping):
        return {_in_unicode(key): _in_unicode(each) for key, each in value.items()}
    return [_in_unicode(each) for each in value] if isinstance(value, list | tuple) else value


def note(text: str) -> None:
    """Print progress to stderr, unless --quiet."""
    if not _quiet:
        _err().print(_visible(text), markup=False, soft_wrap=True)


def error(text: str) -> None:
    """Print an error; with --verbose, also its traceback."""
    from rich.markup import escape  # noqa: PLC0415

    _err().print(f"[bold red]error:[/] {escape(_visible(text))}", soft_wrap=True)
    if _verbose and sys.exc_info()[0] is not None:
        _err().print_exception()


def _is_live() -> bool:
    """Return whether stderr is a terminal that can overwrite its lines; others get plain lines, as a file does.

    `FORCE_COLOR`, which many CI jobs set, makes no terminal of a log.
    """
    terminal = _err()
    return terminal.is_terminal and terminal.file.isatty() and not terminal.is_dumb_terminal


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar of `total` items (0: unknown); without a terminal, print lines about long work."""
    from compress.cli.progress_display import progress_bars, progress_lines  # noqa: PLC0415

    if _quiet:
        yield lambda count: None
    elif _is_live():
        with progress_bars(_err()) as bars:
            task = bars.add_task(title, total=total or None)
            yield lambda count: bars.advance(task, count)
    else:
        with progress_lines(_err(), title, total, 0.0 if _verbose else _MIN_REPORTED_SECONDS) as advance:
            yield advance


@contextmanager
def follow_run() -> Iterator[tuple[Progress, Watch | None]]:
    """Yield the arguments `progress` and `watch` of a run, with a live table of its stages if there is a terminal."""
    from compress.cli.progress_display import LiveStages  # noqa: PLC0415

    if _quiet or not _is_live():
        yield progress, None
    else:
        with LiveStages(_err()) as live:
            yield live.progress, live.watch


class LogLines(logging.Handler):
    """Prints log records to stderr, above a progress bar or a live table."""

    def emit(self, record: logging.LogRecord) -> None:
        _err().print(_visible(self.format(record)), markup=False, soft_wrap=True)


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int = 1) -> None:
    """Print a table; the columns after the first `text_columns` are numbers, aligned to the right.

    Text folds where the terminal is narrow, and numbers are never cut: the columns that do not fit follow in tables
    below, each with the first column. Without a terminal there is one table.
    """
    cells = [[*columns], *([_visible(cell).expandtabs() for cell in row] for row in rows)]
    widths = [max(map(_cell_width, column)) for column in zip(*cells, strict=True)]
    folded_widths = [min(width, _MIN_TEXT_WIDTH) for width in widths[:text_columns]] + widths[text_columns:]
    terminal_width = _terminal_width()
    for number, indices in enumerate(_column_groups(terminal_width, folded_widths, text_columns)):
        if number:
            say("")
        room = max(terminal_width or _WIDTH_WITHOUT_TERMINAL, _table_width(indices, folded_widths) + 2)
        group = [[row[index] for index in indices] for row in cells]
        group_text_columns = sum(index < text_columns for index in indices)
        if _table_width(indices, widths) + 2 <= room and not any("\n" in cell for row in group for cell in row):
            _print_fitting(group, [widths[index] for index in indices], group_text_columns)
        else:
            _print_folded(group, [folded_widths[index] for index in indices], group_text_columns, room)


def _print_fitting(rows: Sequence[Sequence[str]], widths: Sequence[int], text_columns: int) -> None:
    """Print a table that fits, the first row in bold; rich takes twenty times as long."""
    header, *lines = ("  ".join(_aligned(row, widths, text_columns)) for row in rows)
    if os.environ.get("TERM") not in _DUMB_TERMINALS:
        header = click.style(header, bold=True)
    click.echo("\n".join([header, *lines]))  # without a terminal, it leaves the style out


def _aligned(row: Sequence[str], widths: Sequence[int], text_columns: int) -> Iterator[str]:
    for index, (cell, width) in enumerate(zip(row, widths, strict=True)):
        padding = " " * (width - _cell_width(cell))
        yield cell + padding if index < text_columns else padding + cell


def _print_folded(rows: Sequence[Sequence[str]], min_widths: Sequence[int], text_columns: int, width: int) -> None:
    """Print a table whose text folds to this width; cells may have several lines."""
    from rich.console import Console  # noqa: PLC0415
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, header_style="bold", pad_edge=False)
    for index, (column, min_width) in enumerate(zip(rows[0], min_widths, strict=True)):
        if index < text_columns:
            table.add_column(column, overflow="fold", min_width=min_width)
        else:
            table.add_column(column, justify="right", no_wrap=True)
    for row in rows[1:]:
        table.add_row(*map(escape, row))
    Console(highlight=False, emoji=False, width=width).print(table, soft_wrap=False, crop=False)


def _terminal_width() -> int | None:
    """Return the width of the terminal that stdout is; None: it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _cell_width(text: str) -> int:
    """Return the columns that a text takes; some characters take two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # noqa: PLC0415

    return cell_len(text)


def _column_groups(terminal_width: int | None, widths: Sequence[int], text_columns: int) -> list[list[int]]:
    """Return the indices of the columns of each table that fits the terminal."""
    groups = [list(range(text_columns))]
    for index in range(text_columns, len(widths)):
        longer = [*groups[-1], index]
        is_first_number = groups[-1] in ([0], list(range(text_columns)))
        if is_first_number or terminal_width is None or _table_width(longer, widths) <= terminal_width:
            groups[-1] = longer
        else:
            groups.append([0, index])
    return groups


def _table_width(indices: Sequence[int], widths: Sequence[int]) -> int:
    """Return the width of a table whose text is folded as far as it may be."""
    return sum(widths[index] for index in indices) + 2 * (len(indices) - 1)


def shortened(architecture: str) -> str:
    """Return an architecture in one line; the arguments of a function may be long."""
    return architecture if len(architecture) <= _MAX_ARCHITECTURE else f"{architecture[:_MAX_ARCHITECTURE]}..."


def in_percent(interval: Interval) -> str:
    """Return a fraction with its interval as `55.1% (52.0 to 58.2)`."""
    return f"{interval.value:.1%} ({interval.low * 100:.1f} to {interval.high * 100:.1f})"


def show_written(files: Iterable[Path], *, as_json: bool) -> None:
    """Print files that a command wrote, with their bytes."""
    sizes = {str(file): file.stat().st_size for file in files}
    if as_json:
        say_json([{"file": file, "file_bytes": size} for file, size in sizes.items()])
    else:
        for file, size in sizes.items():
            say(f"{file}: {size:,} bytes")
