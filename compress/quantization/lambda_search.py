"""Search for the Lagrange multiplier at which a file has a given size."""

from __future__ import annotations

import math

MIN_LOG, MAX_LOG = math.log(1e-30), 0.0
"""Range of the logarithm of lambda. A network whose classes are almost equally probable needs a small one: its errors
cost next to nothing."""

MAX_TRIALS = 20

FIRST_LAMBDA = 6e-8
"""Lambda that gives SqueezeNet v1.1 about 2.74 bits a weight."""

_BITS_PER_LOG = 0.8 / math.log(4)
"""Bits a weight that the file loses if the logarithm of lambda grows by 1, on SqueezeNet v1.1."""

TOLERANCE = 1e-4
"""Width of the bracket, in the logarithm of lambda, that ends the search."""

_LIMIT_TOLERANCE = 0.05
"""The same where a smaller lambda is not possible: more trials would add little to the file."""


def initial_lambda(file_bytes: int, weights: int) -> float:
    """Return a lambda that gives a network about this file size, as measured on SqueezeNet v1.1."""
    bits_per_weight = min(8 * file_bytes / max(weights, 1), 32)  # more would make lambda 0
    return FIRST_LAMBDA * math.exp((2.74 - bits_per_weight) / _BITS_PER_LOG)


class LambdaSearch:
    """Finds the lambda, in nats a bit, whose file nearly fills a number of bytes. A larger lambda gives fewer bytes.

    The logarithms of bytes and lambda are nearly linear. So the search follows the secant through the last two trials,
    and bisects where the secant leaves the bracket. Where all files are too small by then, the smallest lambda is tried
    first: no larger one fills more.
    """

    def __init__(self, max_bytes: int, first: float, min_fill: float, weights: int) -> None:
        """Start a search.

        Args:
            max_bytes: limit of the file size.
            first: the first lambda to try.
            min_fill: fraction of `max_bytes` that ends the search, below 1. More trials are needed near 1.
            weights: number of weights of the network.
        """
        self._first_slope = 8 * max_bytes / max(weights, 1) / _BITS_PER_LOG
        self._max_bytes, self._min_fill = max_bytes, min_fill
        self._low, self._high = MIN_LOG, MAX_LOG  # the file is too large at the first, small enough at the second
        self._trials: list[tuple[float, float]] = []
        self._next: float | None = min(max(math.log(first), MIN_LOG), MAX_LOG)
        self._tried_minimum = self._next == MIN_LOG
        self._after_minimum: float | None = None  # to be tried after the smallest lambda, unless its file is too small

    def next_lambda(self) -> float | None:
        """Return the lambda to try next; None at the end of the search."""
        return None if self._next is None else math.exp(self._next)

    def record(self, lambda_: float, file_bytes: int | None) -> None:
        """Record the file size at a lambda; None: too large to measure."""
        log_lambda = math.log(lambda_)
        if self._after_minimum is not None:
            is_small = file_bytes is not None and file_bytes < self._min_fill * self._max_bytes
            self._next, self._after_minimum = None if is_small else self._after_minimum, None
            return
        if file_bytes is not None:
            target = self._max_bytes * (1 + self._min_fill) / 2
            self._trials.append((log_lambda, math.log(file_bytes / target)))
        if file_bytes is not None and file_bytes <= self._max_bytes:
            self._high = min(self._high, log_lambda)
            filled = file_bytes >= self._min_fill * self._max_bytes
        else:
            self._low = max(self._low, log_lambda)
            filled = False
        tolerance = TOLERANCE if file_bytes is not None else _LIMIT_TOLERANCE
        last = filled or self._high - self._low < tolerance or len(self._trials) >= MAX_TRIALS
        self._next = None if last else self._guess()

    def _guess(self) -> float:
        middle = (self._low + self._high) / 2
        if not self._trials:
            return middle
        log_lambda, excess = self._trials[-1]
        guess = log_lambda + self._first_slope * excess
        if len(self._trials) > 1:
            previous, previous_excess = self._trials[-2]
            change = excess - previous_excess
            guess = log_lambda - excess * (log_lambda - previous) / change if change else math.inf
        if self._low < guess < self._high:
            return guess
        if excess < 0 and self._low == MIN_LOG and not self._tried_minimum:
            self._tried_minimum, self._after_minimum = True, middle
            return MIN_LOG
        return middle
