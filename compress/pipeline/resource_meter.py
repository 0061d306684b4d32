"""Time and memory of a stage."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from types import TracebackType

import psutil

_SAMPLE_SECONDS = 0.05


@dataclass(frozen=True)
class Cost:
    """What some work took.

    Attributes:
        seconds: by the wall clock.
        peak_bytes: the most resident memory seen.
    """

    seconds: float = 0.0
    peak_bytes: int = 0


class Meter:
    """Measures the seconds and the most resident memory of the process while its context lasts.

    Memory is sampled every 50 ms: a spike shorter than that can be missed.

    Attributes:
        seconds: by the wall clock.
        peak_bytes: the most resident memory seen.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.peak_bytes = 0
        self._process = psutil.Process()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def cost(self) -> Cost:
        """What was measured."""
        return Cost(self.seconds, self.peak_bytes)

    def __enter__(self) -> Meter:
        self._start = time.perf_counter()
        self._sample()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        self._sample()
        self.seconds = time.perf_counter() - self._start

    def _sample(self) -> None:
        self.peak_bytes = max(self.peak_bytes, self._process.memory_info().rss)

    def _watch(self) -> None:
        while not self._done.wait(_SAMPLE_SECONDS):
            self._sample()
