"""An interrupted run leaves the files of an earlier run unchanged."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from functools import partial

import pytest

ENDLESS = """\
data:
  calibration: {source: samples, count: 4}
  validation: {source: samples, count: 2}
stages: [{pass: distill, steps: 1000000, batch: 4}]
"""
OLD = {"model.sqz": b"an old model", "report.json": b"{}", "report.html": b"<p>old</p>"}


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("number", "on_sigint", "exit_code"),
    [
        (signal.SIGINT, signal.SIG_DFL, 130),
        (signal.SIGTERM, signal.SIG_IGN, 143),
        (signal.SIGKILL, signal.SIG_DFL, -9),
    ],
    ids=["INT", "TERM, in a background job", "KILL"],
)
def test_files_of_an_earlier_run_are_unchanged(tmp_path, number, on_sigint, exit_code):
    (tmp_path / "endless.yaml").write_text(ENDLESS)
    out = tmp_path / "out"
    out.mkdir()
    for name, content in OLD.items():
        (out / name).write_bytes(content)
    program = [sys.executable, "-X", "faulthandler", "-m", "compress"]
    command = [*program, "-v", "run", tmp_path / "endless.yaml", "--out", out]
    # A shell starts background jobs with SIGINT ignored, and children inherit that.
    listen = partial(signal.signal, signal.SIGINT, on_sigint)
    pipes = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, preexec_fn=listen, **pipes) as process:  # noqa: PLW1509
        too_long = threading.Timer(120, process.send_signal, [signal.SIGABRT])  # prints where it hangs
        too_long.start()
        # With -v a line reports finished work: the endless stage starts after the validation of the float network.
        assert any(line.startswith("validating: ") for line in process.stderr)
        process.send_signal(number)
        stderr = process.stderr.read()
        too_long.cancel()
    assert process.returncode == exit_code, stderr
    if number != signal.SIGKILL:
        assert "error: stopped; files of an earlier run are unchanged, and finished stages are kept" in stderr
        assert f"  squeeze-compress -v run {tmp_path}/endless.yaml --out {out}" in stderr
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == OLD
