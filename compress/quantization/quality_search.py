"""Search for the largest lambda at which a file meets limits on quality."""

from __future__ import annotations

import math
from typing import NamedTuple

from compress.quantization.lambda_search import MAX_LOG, MAX_TRIALS, MIN_LOG, TOLERANCE

FAR_STEP, NEAR_STEP = math.log(4), math.log(1.15)
"""First steps of the logarithm of lambda: about 0.8 bits a weight; and 3% of the bytes, after an earlier search."""

_LIMIT_TOLERANCE = math.log(2)
"""Width of the bracket that ends the search where no possible file meets the limits."""


class _Trial(NamedTuple):
    log_lambda: float
    file_bytes: int


class QualitySearch:
    """Finds the smallest file that meets limits on quality. A larger lambda gives fewer bytes and a lower quality.

    Steps from the first lambda double until one file meets the limits and another misses them. Bisection follows: top-1
    moves in steps of one photo, so its slope says little.
    """

    def __init__(self, first: float, max_gap: float, first_step: float) -> None:
        """Start a search.

        Args:
            first: the first lambda to try.
            max_gap: fraction of bytes between the best file and a smaller one that misses the limits; ends the search.
            first_step: of the logarithm of lambda.
        """
        self._max_gap, self._step, self._trials = max_gap, first_step, 0
        self._met: _Trial | None = None
        self._missed: _Trial | None = None
        self._impossible: float | None = None
        self._next: float | None = min(max(math.log(first), MIN_LOG), MAX_LOG)

    def next_lambda(self) -> float | None:
        """Return the lambda to try next; None at the end of the search."""
        return None if self._next is None else math.exp(self._next)

    def record(self, lambda_: float, file_bytes: int | None, *, met: bool = False) -> None:
        """Record the file size at a lambda, None: no such file is possible; and whether it meets the limits."""
        log_lambda = math.log(lambda_)
        self._trials += 1
        if file_bytes is None:
            self._impossible = log_lambda
        elif met:
            self._met = _Trial(log_lambda, file_bytes)
        else:
            self._missed = _Trial(log_lambda, file_bytes)
        self._next = None if self._is_done() else self._choose()

    def _is_done(self) -> bool:
        if self._trials >= MAX_TRIALS:
            return True
        if self._missed is None:
            return self._met is not None and self._met.log_lambda >= MAX_LOG
        if self._met is None:
            lowest, tolerance = (MIN_LOG, 0.0) if self._impossible is None else (self._impossible, _LIMIT_TOLERANCE)
            return self._missed.log_lambda - lowest <= tolerance
        gap = self._met.file_bytes - self._missed.file_bytes
        width = self._missed.log_lambda - self._met.log_lambda
        return gap <= self._max_gap * self._met.file_bytes or width < TOLERANCE

    def _choose(self) -> float:
        low = self._impossible if self._met is None else self._met.log_lambda
        high = None if self._missed is None else self._missed.log_lambda
        if low is not None and high is not None:
            return (low + high) / 2
        step, self._step = self._step, 2 * self._step
        if low is not None:
            return min(low + step, MAX_LOG)
        assert high is not None  # one trial at least
        return max(high - step, MIN_LOG)
