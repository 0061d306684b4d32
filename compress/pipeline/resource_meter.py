"""Time and memory of a block of code."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from types import TracebackType

import psutil

_SAMPLE_SECONDS = 0.05


@dataclass(frozen=True)
class ResourceUsage:
    """Time and memory of some work.

    Attributes:
        seconds: wall-clock time.
        peak_bytes: maximum resident memory of the process.
    """

    seconds: float = 0.0
    peak_bytes: int = 0


class ResourceMeter:
    """Measures time and memory of the process in a `with` block.

    It samples memory every 50 ms, so it can miss a shorter peak.
    """

    def __init__(self) -> None:
        self._seconds, self._peak_bytes = 0.0, 0
        self._process = psutil.Process()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def usage(self) -> ResourceUsage:
        """Time and memory of the finished block."""
        return ResourceUsage(self._seconds, self._peak_bytes)

    def __enter__(self) -> ResourceMeter:
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
        self._seconds = time.perf_counter() - self._start

    def _sample(self) -> None:
        self._peak_bytes = max(self._peak_bytes, self._process.memory_info().rss)

    def _watch(self) -> None:
        while not self._done.wait(_SAMPLE_SECONDS):
            self._sample()
