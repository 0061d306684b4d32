"""Time and memory of a block of code."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

_SAMPLE_SECONDS = 0.05


@dataclass
class ResourceUsage:
    """Time and memory of some work.

    Attributes:
        seconds: wall-clock time.
        peak_bytes: maximum resident memory of the process.
    """

    seconds: float = 0.0
    peak_bytes: int = 0


@contextmanager
def measure_usage() -> Iterator[ResourceUsage]:
    """Yield time and memory of the process in the block, complete at its end.

    Memory is sampled every 50 ms, so that a shorter peak can be missed.
    """
    usage, process, done = ResourceUsage(), psutil.Process(), threading.Event()

    def sample() -> None:
        usage.peak_bytes = max(usage.peak_bytes, process.memory_info().rss)

    def watch() -> None:
        while not done.wait(_SAMPLE_SECONDS):
            sample()

    started, thread = time.perf_counter(), threading.Thread(target=watch, daemon=True)
    sample()
    thread.start()
    try:
        yield usage
    finally:
        done.set()
        thread.join()
        sample()
        usage.seconds = time.perf_counter() - started
