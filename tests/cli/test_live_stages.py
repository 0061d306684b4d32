"""The live table of a run's stages at a terminal."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from records import make_record
from rich.console import Console

from compress.cli.progress_display import progress_bars, stage_table
from compress.pipeline.stage_forecast import GUESS, StageForecast

PIPELINE = """\
data: {calibration: {source: digits, limit: 2}, validation: {source: digits, limit: 3}}
stages: [{pass: prune, sparsity: 0.6}]
"""
WIDE = Console(file=io.StringIO(), width=100)
RECORDS = make_record().stages[:2]
FORECASTS = tuple(
    StageForecast(name, name, None, seconds, 0, GUESS)
    for name, seconds in (("baseline", 9.0), ("prune", 9.0), ("share", 100.0), ("[b]", 20.0), ("proof", 5.0))
)


def shown(content: object) -> list[list[str]]:
    console = Console(file=io.StringIO(), width=100)
    console.print(content)
    return [line.split() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def test_the_table_has_the_state_the_bytes_the_time_and_the_time_left_of_each_stage():
    baseline, prune = RECORDS
    records = (replace(baseline, seconds=0.0, validation_seconds=9.0), replace(prune, from_cache=True))
    assert shown(stage_table(FORECASTS, records, elapsed=30.0, console=WIDE)) == [
        ["stage", "state", "bytes", "time", "time", "left"],
        ["baseline", "done", f"{baseline.file_bytes:,}", "9", "s"],
        ["prune", "from", "the", "cache", f"{prune.file_bytes:,}"],
        ["share", "running", "30", "s", "1", "min", "10", "s"],
        ["[b]", "waiting", "20", "s"],
        ["proof", "waiting", "5", "s"],
        ["about", "1", "min", "35", "s", "left"],
    ]


def test_a_stage_that_takes_longer_than_forecast_is_overdue_and_the_others_count():
    lines = shown(stage_table(FORECASTS, RECORDS, elapsed=130.0, console=WIDE))
    assert lines[3] == ["share", "running", "2", "min", "10", "s", "overdue"]
    assert lines[-1] == ["about", "25", "s", "left"]


@pytest.mark.parametrize("width", [12, 20, 40, 60])
def test_a_narrow_terminal_folds_names_and_numbers_and_cuts_none(width):
    name = "share-the-weights-of-all-layers"
    forecasts = (*FORECASTS[:2], replace(FORECASTS[2], name=name), *FORECASTS[3:])
    console = Console(file=io.StringIO(), width=width)
    console.print(stage_table(forecasts, RECORDS, elapsed=30.0, console=console))
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    whole = "".join(text.split())
    for shown in (*(each.name for each in forecasts), f"{RECORDS[0].file_bytes:,}bytes", "running,30s,1min10sleft"):
        assert shown in whole


@pytest.mark.parametrize("width", range(36, 48))
def test_no_width_of_the_terminal_cuts_words_of_the_table(width):
    console = Console(file=io.StringIO(), width=width)
    console.print(stage_table(FORECASTS, RECORDS[:1], elapsed=9.0, console=console))
    text = console.file.getvalue()
    assert "\u2026" not in text
    assert text.count("waiting") == 3


@pytest.mark.parametrize("width", [20, 40, 80])
def test_a_narrow_terminal_folds_the_title_of_a_progress_bar(width):
    console = Console(file=io.StringIO(), width=width)
    bars = progress_bars(console)
    bars.add_task("measuring layer sensitivity", total=1000)
    console.print(bars)
    text = console.file.getvalue()
    assert "".join(filter(str.isalpha, text.replace("-:--:--", ""))) == "measuringlayersensitivity"
    assert "0/1000" in text


def test_a_run_at_a_terminal_shows_the_table_and_the_bar_of_the_step_below(tmp_path):
    (tmp_path / "digits.yaml").write_text(PIPELINE)
    command = [sys.executable, "-m", "compress", "run", str(tmp_path / "digits.yaml"), "--out", str(tmp_path / "out")]
    terminal, stderr = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, env=environment) as process:
        os.close(stderr)
        seen = b""
        with contextlib.suppress(OSError):  # the other end is closed
            while part := os.read(terminal, 1 << 16):
                seen += part
        assert process.stdout
        assert b"report: " in process.stdout.read()
    os.close(terminal)
    assert process.returncode == 0
    screen = seen.decode()
    assert "INFO: passes compress" in screen
    assert screen.index("validating") < screen.index("time left") < screen.index("running")
    assert re.search(r"about \d+ s left", screen)
