"""Progress without a terminal: lines in a log."""

from __future__ import annotations

import io
import re
import time
from functools import cache

import pytest
from rich.console import Console

from compress.cli import console, progress_display


@pytest.fixture(autouse=True)
def _lines_come_quickly(monkeypatch):
    monkeypatch.setattr(progress_display, "SECONDS_BETWEEN_LINES", 0.05)
    console.set_verbosity(quiet=False, verbose=True)
    yield
    console.set_verbosity(quiet=False, verbose=False)


def wait_for(pattern: str, capsys: pytest.CaptureFixture[str], seconds: float = 20.0) -> str:
    seen, end = "", time.monotonic() + seconds
    while not re.search(pattern, seen):
        assert time.monotonic() < end, seen
        seen += capsys.readouterr().err
        time.sleep(0.01)
    return seen


def test_long_work_says_again_and_again_how_much_is_done_and_left(capsys):
    with console.progress("sorting", 4) as advance:
        wait_for(r"sorting: 0 of 4 done in \d+ s\n(.*\n)*sorting: 0 of 4 done", capsys)
        advance(3)
        wait_for(r"sorting: 3 of 4 done in \d+ s, about \d+ s left", capsys)
    assert re.search(r"sorting: \d+ s\n$", capsys.readouterr().err)


def test_a_log_in_color_gets_lines(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with console.progress("sorting", 4):
        wait_for(r"sorting: 0 of 4 done in \d+ s\n", capsys)
    with console.follow_run() as (progress, watch):
        assert (progress, watch) == (console.progress, None)


def test_a_terminal_that_overwrites_no_lines_gets_new_ones(monkeypatch):
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(console, "_err", cache(lambda: Console(file=terminal)))
    for term, overwrites in (("xterm", True), ("dumb", False)):
        monkeypatch.setenv("TERM", term)
        with console.follow_run() as (progress, watch):
            assert (watch is not None) == overwrites
            assert (progress == console.progress) != overwrites


def test_work_of_unknown_length_says_how_much_is_done(capsys):
    with console.progress("looking", 0) as advance:
        wait_for(r"looking: \d+ s so far", capsys)
        advance(2)
        wait_for(r"looking: 2 done in \d+ s", capsys)


def test_failed_work_is_not_called_done(capsys):
    with pytest.raises(ZeroDivisionError), console.progress("dividing", 1):
        raise ZeroDivisionError
    time.sleep(0.2)
    assert not re.search(r"dividing: \d+ s\n", capsys.readouterr().err)


def test_quiet_work_says_nothing(capsys):
    console.set_verbosity(quiet=True, verbose=False)
    with console.progress("sleeping", 1):
        time.sleep(0.3)
    assert not capsys.readouterr().err


def test_a_name_is_printed_as_it_is(capsys):
    console.note("photos/:cat:[b].jpg")
    console.show_table(("photo", "bytes"), [(":cat:[b].jpg", "1")])
    printed = capsys.readouterr()
    assert printed.err == "photos/:cat:[b].jpg\n"
    assert ":cat:[b].jpg" in printed.out
