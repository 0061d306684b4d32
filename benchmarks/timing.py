"""Median run times. Imports the standard library only, as it also runs in NNCodec's environment."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def timed(work: Callable[[], Result], repeats: int) -> tuple[Result, float]:
    """Run `work` once to warm up and `repeats` times more; return its last result and the median seconds."""
    result, seconds = work(), []
    for _ in range(repeats):
        started = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - started)
    return result, statistics.median(seconds)
