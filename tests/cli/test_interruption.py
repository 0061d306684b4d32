"""A signal stops the program even if a library swallows the exception that it raises."""

import signal
import time
from contextlib import suppress

import pytest

from compress.cli.interruption import Interrupted, signals_interrupt


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


def test_handlers_of_the_caller_are_restored():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with signals_interrupt():
        pass
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
