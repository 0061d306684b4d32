"""A signal stops the program even if a library swallows the exception that it raises."""

import builtins
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial

import pytest

import compress.__main__ as program
from compress.cli.interruption import Interrupted, signals_interrupt, stopped_message


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows has no timer that interrupts")
def test_a_swallowed_interrupt_is_repeated():
    def sleep_on() -> None:
        with signals_interrupt():
            with suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
            time.sleep(60)

    with pytest.raises(Interrupted) as stopped:
        sleep_on()
    assert stopped.value.number == signal.SIGTERM


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no such signal")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_stops_the_program_unless_it_was_started_to_ignore_it(name):
    def raise_signal() -> None:
        with signals_interrupt():
            signal.raise_signal(number)

    number = getattr(signal, name)
    previous = signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(Interrupted) as stopped:
            raise_signal()
        assert stopped.value.number == number
        signal.signal(number, signal.SIG_IGN)
        raise_signal()
    finally:
        signal.signal(number, previous)


def test_handlers_of_the_caller_are_restored():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with signals_interrupt():
        pass
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_who_stops_a_run_is_told_how_to_go_on():
    message = stopped_message("run", ["-q", "run", "my pipeline.yaml", "--out", "out"])
    assert message.startswith("stopped; files of an earlier run are unchanged, and finished stages are kept.")
    assert message.endswith("\n  squeeze-compress -q run 'my pipeline.yaml' --out out")


@pytest.mark.parametrize(("command", "arguments"), [("run", ["run", "--fresh"]), ("compare", ["compare"]), (None, [])])
def test_what_keeps_nothing_is_not_said_to_go_on(command, arguments):
    assert stopped_message(command, arguments) == "stopped; files of an earlier run are unchanged"


def test_ctrl_c_while_the_program_is_imported_is_no_traceback(monkeypatch):
    real = builtins.__import__

    def interrupted(name, *arguments, **options):
        if name == "compress.cli.main":
            raise KeyboardInterrupt
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", interrupted)
    with pytest.raises(SystemExit) as caught:
        program.main()
    assert caught.value.code == 130


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_while_the_program_ends_is_no_traceback():
    code = (
        "import os, signal, sys, threading, time\n"
        "from compress.__main__ import main\n"
        "def interrupt():\n"
        "    while threading.main_thread().is_alive(): time.sleep(0.01)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(1)\n"
        "threading.Thread(target=interrupt).start()\n"
        "sys.argv = ['squeeze-compress', 'pipelines']\n"
        "main()\n"
    )
    listen = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, preexec_fn=listen)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")
