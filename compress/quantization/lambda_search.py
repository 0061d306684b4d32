"""The slope at which a file has the bytes that it may have."""

from __future__ import annotations

import math

_LEAST, _MOST = math.log(1e-12), 0.0
"""Logarithms of the slopes between which it is looked for."""

_MOST_TRIES = 20


def first_slope(file_bytes: int, weights: int) -> float:
    """Return a slope near to that which gives a file of so many bytes: what SqueezeNet v1.1 takes.

    Args:
        file_bytes: of the file.
        weights: of the network.
    """
    return float(6e-8 * 4 ** ((2.74 - 8 * file_bytes / max(weights, 1)) / 0.8))


class SlopeSearch:
    """Looks for the slope, in nats of divergence a bit: the larger, the fewer bytes.

    The logarithms of bytes and slope lie near a line: the next slope is where the line through the last two tries has
    the bytes wanted, or the middle of what is left where that is elsewhere.
    """

    def __init__(self, file_bytes: int, first: float, share: float) -> None:
        """Begin.

        Args:
            file_bytes: allowed, at most.
            first: the slope to try first.
            share: of the bytes allowed, that a file is to use at least; the nearer to 1, the more tries.
        """
        self._allowed, self._share = file_bytes, share
        self._low, self._high = _LEAST, _MOST  # too many bytes at the first, few enough at the second
        self._tries: list[tuple[float, float]] = []
        self._next: float | None = min(max(math.log(first), _LEAST), _MOST)

    def next_slope(self) -> float | None:
        """Return the slope to try next, or None where none will do better."""
        return None if self._next is None else math.exp(self._next)

    def tried(self, slope: float, file_bytes: int | None) -> None:
        """Take in how many bytes a file has at the slope tried; None where they are too many to be counted."""
        at = math.log(slope)
        enough = file_bytes is not None and file_bytes <= self._allowed
        self._low, self._high = (self._low, min(self._high, at)) if enough else (max(self._low, at), self._high)
        if file_bytes is not None:
            self._tries.append((at, math.log(file_bytes / (self._allowed * (1 + self._share) / 2))))
        close = enough and file_bytes is not None and file_bytes >= self._share * self._allowed
        last = close or self._high - self._low < 1e-4 or len(self._tries) >= _MOST_TRIES
        self._next = None if last else self._guess()

    def _guess(self) -> float:
        middle = (self._low + self._high) / 2
        if not self._tries:
            return middle
        at, off = self._tries[-1]
        guess = at + 4 * off
        if len(self._tries) > 1:
            before, off_before = self._tries[-2]
            guess = at - off * (at - before) / (off - off_before) if off != off_before else middle
        return guess if self._low < guess < self._high else middle
