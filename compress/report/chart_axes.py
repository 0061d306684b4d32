"""Axes of charts: from values to pixels, and the values to label."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

_STEPS = (1, 2, 2.5, 5, 10)
"""Distances of ticks, times a power of ten."""


@dataclass(frozen=True)
class Scale:
    """A linear or logarithmic axis.

    Attributes:
        low: value at `start`; above 0 if the axis is logarithmic.
        high: value at `end`; above `low`.
        start: pixel.
        end: pixel.
    """

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """Return the pixel of a value."""
        low, high, value = map(math.log, (self.low, self.high, value)) if self.logarithmic else (
            self.low, self.high, value)  # fmt: skip
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self, maximum: int = 5) -> list[float]:
        """Return at most `maximum` round values on the axis, or a few more on a logarithmic one."""
        return self._powers(maximum) if self.logarithmic else self._multiples(maximum)

    def _multiples(self, maximum: int) -> list[float]:
        power = 10.0 ** math.floor(math.log10((self.high - self.low) / maximum))
        step = next(each * power for each in _STEPS if (self.high - self.low) / (each * power) <= maximum)
        multiples = range(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1)
        return [multiple * step for multiple in multiples]

    def _powers(self, maximum: int) -> list[float]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        digits = (1, 2, 3, 5) if self.high / self.low < 100 else (1,)
        every = max((last - first) // maximum, 1)
        values = (digit * 10.0**power for power in range(first, last + 1, every) for digit in digits)
        return [value for value in values if self.low <= value <= self.high]


def padded_range(values: Iterable[float]) -> tuple[float, float]:
    """Return a range around values that are not negative: it is not empty, and has no negative numbers."""
    low, high = min(values := list(values)), max(values)
    padding = (high - low) * 0.06 or max(abs(high) * 0.01, 1e-6)
    return max(low - padding, min(low, 0.0)), high + padding
